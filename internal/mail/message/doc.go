// Package message owns the bytes of an outgoing message: RFC 5322 headers and
// a MIME body (RFC 2045 to 2049) made of a text, its HTML twin and pictures
// shown inside the HTML.
//
// [Build] is a function of its arguments alone: the same parts give the same
// bytes, boundaries included, so that a letter can be built again for every
// attempt and still be the same letter. It uses the standard library's
// writers; the go-mail module draws nested boundaries at random and offers no
// way to set them.
//
// The package refuses what could add a header, a recipient or a line: control
// characters in header fields, addresses outside the plain forms of RFC 5321,
// lines that are too long. It knows no letters, no templates and no servers.
package message
