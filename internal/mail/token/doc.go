// Package token keeps the tokens of mail profiles alive: it knows when one must
// be replaced, sees to it that one process at a time asks for the next, and
// loses none on the way.
//
// # Where tokens are
//
// A profile's access token, its refresh token and the refresh token before it
// are sealed together in one row of mail_token, bound to [Source.Bind]: the
// place that they may be used at. Whoever comes with another Bind finds nothing.
// Each node remembers the access token in memory, and looks at the row's version
// before it uses what it remembers, so that a sign-in, a refusal or a refresh on
// one node is known on all at once. Only where the database does not answer is
// the memory believed alone, for as long as the token lives.
//
// # How a token is replaced
//
//   - A lease in the row, of 30 seconds, says who asks. Nothing is asked inside
//     a transaction. Others go on with the token that still lives, or look again
//     until there is another. A holder that died is replaced when its lease ends.
//   - What came back is stored before anybody uses it. The row's version is the
//     fence: it must be the one that the refresh token was read with. A process
//     that was stopped and comes back late therefore stores over nothing newer,
//     while an answer that is newer than the row is kept even if the lease has
//     passed to somebody else meanwhile.
//   - An answer that cannot be stored is kept in memory, unused, and stored
//     before anything else is done for that profile. The refresh token that was
//     sent for it is not sent again by this process meanwhile.
//   - The asking goes on when the caller gives up, because an answer may carry
//     the only refresh token that works. [Keeper.Close] waits for it.
//   - The refresh token that was replaced last is kept, and tried once when the
//     new one meets invalid_grant, for authorities whose answer was lost on the
//     way or taken back.
//   - A refusal is noted in the row with the time before which nobody asks again,
//     so that many letters on many nodes do not become many requests.
//
// # Time
//
// Ends are kept by the clock of the database and turned into time left when they
// are read, so that nodes whose clocks differ agree. A clock that was put back
// makes a token count as old, never as young.
//
// The package refuses to give an empty token, an ended one, or one that is not
// stored, and knows no way to sign in but a token.
package token
