package web

import (
	"slices"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/mail"
)

// serverRoutes are the settings of one of the two mail servers.
func serverRoutes(slot mail.Slot) []route {
	settings, base := may(actor.ManageSettings), slot.SettingsPath()
	return []route{
		{pattern: "GET " + base, slot: slot, access: settings, handle: (*Site).mailSettings},
		{pattern: "POST " + base, slot: slot, access: settings, handle: (*Site).saveMail},
		{pattern: "POST " + base + "/fill", slot: slot, access: settings, handle: (*Site).fillMail},
		{pattern: "POST " + base + "/test", slot: slot, access: settings, handle: (*Site).testMail},
		{pattern: "POST " + base + "/sign-in", slot: slot, access: settings, handle: (*Site).signInMail, carry: []string{"again", "stored", "origin"}},
		{pattern: "GET " + base + "/sign-in/{id}", slot: slot, access: settings, handle: (*Site).goingMail},
		{pattern: "GET " + base + "/sign-in/{id}/decide", slot: slot, access: settings, handle: (*Site).decidePage},
		{pattern: "POST " + base + "/sign-in/{id}/decide", slot: slot, access: settings, handle: (*Site).decideMail, carry: []string{}},
		{pattern: "GET " + base + "/state", slot: slot, access: settings, handle: (*Site).mailStatePart},
		{pattern: "GET " + base + "/accounts", slot: slot, access: settings, handle: (*Site).mailAccountsPart},
		{pattern: "POST " + base + "/resume", slot: slot, access: settings, handle: (*Site).resumeMail},
		{pattern: "POST " + base + "/stop", slot: slot, access: settings, handle: (*Site).stopMail},
		{pattern: "POST " + base + "/remove", slot: slot, access: settings, handle: (*Site).removeMail, carry: []string{}},
		{pattern: "POST " + base + "/certificates", slot: slot, access: settings, handle: (*Site).addCertificates},
		{pattern: "POST " + base + "/certificates/remove", slot: slot, access: settings, handle: (*Site).removeCertificate},
	}
}

// mailRoutes are the mail servers' settings, the journal of letters and the
// capture mailbox.
func mailRoutes() []route {
	settings, journal := may(actor.ManageSettings), may(actor.ReadMailJournal)
	return slices.Concat(serverRoutes(mail.Main), serverRoutes(mail.Second), dkimRoutes(mail.Main), dkimRoutes(mail.Second), []route{
		{pattern: "GET " + mail.RedirectOwn, access: settings, handle: (*Site).signedInMail, back: mailSettingsPath},
		{pattern: "GET " + mail.RedirectPMP, access: settings, handle: (*Site).signedInMail, back: mailSettingsPath},
		{pattern: "GET " + mailDeliveryPath, access: settings, handle: (*Site).mailDelivery},
		{pattern: "POST " + mailDeliveryPath, access: settings, handle: (*Site).saveMailDelivery},
		{pattern: "GET " + mailServersPath, access: settings, handle: (*Site).mailServers},
		{pattern: "POST " + mailServersPath, access: settings, handle: (*Site).saveMailServers, carry: []string{"revision", "fallback", "routes"}},
		{pattern: "POST " + mailServersPath + "/exchange", access: settings, handle: (*Site).exchangeMailServers, carry: []string{}},

		{pattern: "GET /admin/mail/journal", access: journal, handle: (*Site).journal},
		{pattern: "GET /admin/mail/journal/rows", access: journal, handle: (*Site).journalPart},
		{pattern: "GET /admin/mail/journal/events", access: journal, handle: (*Site).journalEvents},
		{pattern: "GET /admin/mail/journal/export.csv", access: journal, handle: (*Site).exportJournal},
		{pattern: "GET " + mailHealthPath, access: settings, handle: (*Site).mailHealth},
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
	})
}
