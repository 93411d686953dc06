// Package identity owns users, their roles, the one-time links by which they
// come in, and their sessions.
//
// A user is invited, active or disabled. An invited user has no password yet:
// the invitation's link, used once within [InvitationLife], lets them choose
// it. A lost password is replaced through a link that lives [ResetLife]. Of
// one purpose a user has one link, the newest; the database keeps its hash
// alone. Nothing consumes a link but the operation that carries a password
// good enough to be taken.
//
// Every way to prove who one is (password, link, code) first reserves an
// attempt in the limiter, in the database, and only then looks whether the
// proof is right, so that guesses made at the same time, over several nodes,
// count like guesses made one after the other. Locks end by themselves, and
// time takes failures back from the count of a network. Answers do not tell whether a user exists: the same words, and the same
// work.
//
// Passwords are kept as argon2id hashes (RFC 9106), sealed under the keyring,
// so that a stolen database does not let anybody guess. Hashing shares a small
// pool, so that a flood of sign-ins cannot take the machine's memory.
//
// The rules about users, which hold at every door:
//
//   - only who may manage Privileged Administrators touches one or makes one;
//   - nobody disables, deletes or demotes themselves;
//   - the last active Privileged Administrator stays one;
//   - what a user owns is handed over before the user goes;
//   - acts that cannot be taken back ask for a fresh proof ([RequireProof]).
//
// The package refuses to send passwords, to show links that a letter carries,
// and to keep anything by which a session or link could be used.
package identity
