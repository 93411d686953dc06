// Package consent keeps sign-ins at an authority that are under way: the checked
// settings that wait for one, what the authority is asked with, and what came of
// it. All of that is sealed, bound to who began the sign-in and to the browser
// session, since only they may end it, for ten minutes and once.
//
// What is to be done with it decides package mail.
package consent
