// Package graph hands letters to Microsoft Graph (POST .../sendMail), for
// tenants in which SMTP with a sign-in is forbidden. A letter travels as the
// same MIME message as over SMTP, in base64, in one request of at most 4 MB.
//
// [Dial] makes sure that Graph is there, over TLS and without the token. The
// token goes out with letters alone, to the configured address, in one header.
// A redirect is an answer like another and is not followed. Once the whole
// letter was handed to the connection, a failure without an answer is
// uncertain: Graph may have the letter.
//
// The package refuses addresses that are not https, tokens that could add to a
// header, and letters that are too large before a byte of them leaves. It never
// writes a token into an error or a transcript, also where the other side
// repeats it.
package graph
