// Package smtp owns the submission client: how a letter gets from here to a
// mail server (RFC 5321, 6409, 3207, 4954, 2920, 3030).
//
// The client is strict. It has no opportunistic encryption: a connection is
// made in the one way that was asked for, or not at all. Before TLS is verified
// it says EHLO and STARTTLS and nothing else, it believes nothing that it heard
// before, and it ends the connection when a server speaks out of turn. Replies
// are bounded in length, number of lines and time. What comes back is an
// [Error] with the facts, which package verdict reads; nothing here decides
// whether to try again.
//
// Letters are pulled from their source while others are in flight. With CHUNKING
// a window of them is on the way, with PIPELINING alone the content of one leaves
// with the envelope of the next, with neither it goes command by command. Each
// reply belongs to one command of one letter, and a refusal costs only its own.
// In groups RSET keeps letters apart, and a probe shows that a server takes the
// octets of a chunk that it refuses, so that neither recipients nor content of
// one letter get into another. A [Memory] knows which servers do not keep what
// they announce. README.md has it in detail.
//
// Once a server may have the whole content of a letter and its answer does not
// come, the error says so (Uncertain): neither success nor failure is claimed.
// After a fault inside content the connection is dropped without a word, since a
// QUIT would be read as content, or complete half a letter.
//
// The package refuses addresses and content that could smuggle a command, and
// it never writes a credential to its transcript.
package smtp
