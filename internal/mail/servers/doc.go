// Package servers decides which of the two mail servers a letter leaves through.
//
// All letters leave through the first server but for those whose recipients
// belong to a domain with a route, which leave through the second. While one
// server is paused for a problem the other stands in for it, from the moment on
// that the rule of [Settings] names until the first letter can leave through the
// paused one again, which a probe finds out. What a person stopped is nobody's to
// send.
//
// The gates of package outbox hold the rule and every claim asks them, so that no
// letter waits for this package: [Service.Watch] notices what happens, writes it
// to the audit log, and with that tells everybody who wants to know.
package servers
