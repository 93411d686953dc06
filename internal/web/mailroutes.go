package web

import (
	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/mail"
)

// mailRoutes are the mail server's settings, the journal of letters and the
// capture mailbox.
func mailRoutes() []route {
	settings, journal := may(actor.ManageSettings), may(actor.ReadMailJournal)
	return []route{
		{pattern: "GET /admin/settings/mail", access: settings, handle: (*Site).mailSettings},
		{pattern: "POST /admin/settings/mail", access: settings, handle: (*Site).saveMail},
		{pattern: "POST /admin/settings/mail/fill", access: settings, handle: (*Site).fillMail},
		{pattern: "POST /admin/settings/mail/test", access: settings, handle: (*Site).testMail},
		{pattern: "POST /admin/settings/mail/sign-in", access: settings, handle: (*Site).signInMail, carry: []string{"again", "stored", "origin"}},
		{pattern: "GET /admin/settings/mail/sign-in/{id}", access: settings, handle: (*Site).goingMail},
		{pattern: "GET /admin/settings/mail/sign-in/{id}/decide", access: settings, handle: (*Site).decidePage},
		{pattern: "POST /admin/settings/mail/sign-in/{id}/decide", access: settings, handle: (*Site).decideMail, carry: []string{}},
		{pattern: "GET " + mail.RedirectOwn, access: settings, handle: (*Site).signedInMail, back: mailSettingsPath},
		{pattern: "GET " + mail.RedirectPMP, access: settings, handle: (*Site).signedInMail, back: mailSettingsPath},
		{pattern: "GET /admin/settings/mail/state", access: settings, handle: (*Site).mailStatePart},
		{pattern: "GET /admin/settings/mail/accounts", access: settings, handle: (*Site).mailAccountsPart},
		{pattern: "POST /admin/settings/mail/resume", access: settings, handle: (*Site).resumeMail},
		{pattern: "POST /admin/settings/mail/stop", access: settings, handle: (*Site).stopMail},
		{pattern: "POST /admin/settings/mail/remove", access: settings, handle: (*Site).removeMail, carry: []string{}},
		{pattern: "POST /admin/settings/mail/certificates", access: settings, handle: (*Site).addCertificates},
		{pattern: "POST /admin/settings/mail/certificates/remove", access: settings, handle: (*Site).removeCertificate},

		{pattern: "GET " + mailDeliveryPath, access: settings, handle: (*Site).mailDelivery},
		{pattern: "POST " + mailDeliveryPath, access: settings, handle: (*Site).saveMailDelivery},

		{pattern: "GET /admin/mail/journal", access: journal, handle: (*Site).journal},
		{pattern: "GET /admin/mail/journal/rows", access: journal, handle: (*Site).journalPart},
		{pattern: "GET /admin/mail/journal/{id}", access: journal, handle: (*Site).letter},
		{pattern: "GET /admin/mail/journal/{id}/now", access: journal, handle: (*Site).letterPart},
		{pattern: "POST /admin/mail/journal/{id}/resend", access: settings, handle: (*Site).resendLetter},
		{pattern: "POST /admin/mail/journal/{id}/cancel", access: settings, handle: (*Site).cancelLetter},

		{pattern: "GET /admin/mail/capture", access: settings, handle: (*Site).captured},
		{pattern: "GET /admin/mail/capture/rows", access: settings, handle: (*Site).capturedPart},
		{pattern: "POST /admin/mail/capture/empty", access: settings, handle: (*Site).emptyCapture},
		{pattern: "GET /admin/mail/capture/{id}", access: settings, handle: (*Site).capturedMail},
		{pattern: "GET /admin/mail/capture/{id}/html", access: settings, handle: (*Site).capturedHTML},
		{pattern: "GET /admin/mail/capture/{id}/download", access: settings, handle: (*Site).downloadCaptured},
		{pattern: "POST /admin/mail/capture/{id}/delete", access: settings, handle: (*Site).deleteCaptured},
	}
}
