// Package smtptest owns the mail servers that tests talk to: one that follows a
// script step by step, wrong steps above all, and a well-behaved one that takes
// letters and keeps them ([Sink]). It owns the laboratory that makes
// certificates, good ones and bad ones, too.
//
// A server keeps every byte that came over the wire, as somebody on the way
// sees it, apart from what was said inside TLS. So a test can ask whether a
// credential travelled in clear ([Server.Leak]) or reached a server that had
// proved nothing ([Server.LeakInside]).
//
// The package refuses to judge clients: a script says what the server does, the
// test says what that must lead to. It imports nothing of this module, so that
// every package can use it.
package smtptest
