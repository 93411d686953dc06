// Package oauthtest owns a stand-in for the services that mail with OAuth 2.0
// needs, for tests: Microsoft Entra, Exchange Online, Microsoft Graph, and the
// authority and mail server of Google. A [Stand] serves them over TLS on
// loopback, under their own names too ([Stand.Dial]), and begins with a small
// world ([Contoso], [Alerts], [ClientID] ...) that a test changes.
//
// Whatever Microsoft refuses is refused, with its number (AADSTS50011 for a
// redirect URI that is not registered) and in its form; what Exchange Online
// refuses, with its reply. The stand-in is stricter in three points, so that a
// client cannot get away with them: every sign-in needs PKCE with S256, a
// redirect URI on localhost must match in its port, and the limit of letters in
// a minute refuses instead of slowing down. It knows less in others: no
// form_post, no BDAT, no JSON letters in Graph, no signature of anything that
// came back checked but those of assertions.
//
// A person signs in on real pages: #loginfmt and #passwd, then #accept or
// #cancel; #next goes on. [Stand.SignIn] walks through them without a browser.
//
// Time is that of [Options.Now]. What a test wants to go wrong, goes wrong
// ([Stand.FailNext], [Stand.Revoke], [Stand.DropReply], [Stand.SayNext] ...).
// The stand-in remembers who asked for what ([Stand.Requests]), every
// credential that reached it and under which name ([Stand.WhoSaw]), and the
// letters it took ([Stand.Letters]).
//
// The package refuses to judge clients and shares no code with ours: it imports
// nothing of this module but the scripted servers of smtptest.
package oauthtest
