package web

import (
	"strconv"
	"strings"

	"github.com/sealpost/sealpost/internal/actor"
	"github.com/sealpost/sealpost/internal/fault"
	"github.com/sealpost/sealpost/internal/mail"
	"github.com/sealpost/sealpost/internal/mail/bounce"
	"github.com/sealpost/sealpost/internal/mail/smtp"
	"github.com/sealpost/sealpost/internal/mail/trust"
	"github.com/sealpost/sealpost/internal/web/checkup"
	"github.com/sealpost/sealpost/internal/web/page"
)

// bounceRoutes are where reports about letters go, how they are read, and the
// addresses that mail came back from.
func bounceRoutes() []route {
	settings := may(actor.ManageSettings)
	return []route{
		{pattern: "GET " + bounce.Path, access: settings, handle: (*Site).bouncesPage},
		{pattern: "POST " + bounce.Path, access: settings, handle: (*Site).saveBounces},
		{pattern: "POST " + bounce.Path + "/fill", access: settings, handle: (*Site).fillBounces},
		{pattern: "POST " + bounce.Path + "/test", access: settings, handle: (*Site).testBounces},
		{pattern: "POST " + bounce.Path + "/read", access: settings, handle: (*Site).readBounces},
		{pattern: "POST " + bounce.Path + "/again", access: settings, handle: (*Site).clearBounce},
		{pattern: "POST /users/{id}/mail-again", access: may(actor.ManageUsers), handle: (*Site).mailAgain},
	}
}

const (
	// shownMarks is how many marked addresses the page shows.
	shownMarks = 200
	// homeMarks is how many Home looks at to count users.
	homeMarks = 50
	// pickedAccounts is how many accounts the form offers at once.
	pickedAccounts = 100
)

func (s *Site) bouncesPage(v *visit) error {
	p, err := s.bounces(v, storedBounces)
	if err != nil {
		return err
	}
	return v.render(p)
}

// bounces is the page with what form makes of the stored settings.
func (s *Site) bounces(v *visit, form func(*visit, bounce.Settings) page.BounceForm) (*page.MailBounces, error) {
	o, err := s.Bounces.Overview(v.ctx(), v.by)
	if err != nil {
		return nil, err
	}
	p := &page.MailBounces{State: bounceState(o), Form: form(v, o.Settings)}
	p.Title, p.Crumbs = "Bounces", []page.Crumb{{Name: "Admin", Path: "/admin"}, {Name: "Mail Server Settings", Path: mailSettingsPath}}
	if o.Settings.Auth == bounce.AuthTyped {
		p.Form.PasswordSetAt = o.Settings.PasswordSetAt
	}
	p.Form.Example = "bounces+" + strings.Repeat("x", 8) + "@example.org"
	if local, domain, ok := strings.Cut(p.Form.Address, "@"); ok {
		p.Form.Example = local + "+" + strings.Repeat("x", 8) + "@" + domain
	}
	for _, c := range o.Trusted {
		card := checkup.Certificate(c.Card, s.Now())
		card.Mode, card.Hex = string(c.Mode), c.Hex
		p.Form.Trusted = append(p.Form.Trusted, card)
	}
	if p.Form.Accounts, err = s.bounceAccounts(v, p.Form.AccountText, p.Form.Account); err != nil {
		return nil, err
	}
	profile, set, err := s.Mail.Active(v.ctx())
	if err != nil {
		return nil, err
	}
	if set {
		p.Provider = envelopeNote(profile)
	}
	return p, s.bounceMarks(v, p)
}

// envelopeNote warns of providers that do not let a letter come from another
// envelope sender than the mailbox.
func envelopeNote(p mail.Profile) string {
	switch {
	case p.OAuth.Via == mail.ViaGraph:
		return "Over Microsoft Graph no letter has an envelope sender of its own: reports go to the sender's mailbox, whatever is chosen here."
	case p.Provider() == "microsoft":
		return "A mailbox of Exchange Online refuses letters with another envelope sender (5.2.252 SendAsDenied). Choose The sender, unless the bounce address is one of the mailbox's own or it has Send As for it."
	case p.Provider() == "google":
		return "Gmail puts the mailbox's own address in place of another envelope sender, so that reports go to that mailbox. Choose The sender, unless you send through the SMTP relay of Google Workspace."
	}
	return ""
}

func bounceState(o bounce.Overview) page.BounceState {
	st := o.Status
	out := page.BounceState{Reads: o.Settings.Reads, Reason: st.Reason, Advice: st.Advice, Said: page.Said(st.Said), Since: st.Since, Next: st.Next, ReadAt: st.ReadAt}
	switch {
	case !out.Reads:
		out = page.BounceState{Title: "The mailbox is not read"}
	case st.State == bounce.StateFailing:
		out.Tone, out.Title = "bad", "The bounce mailbox cannot be read"
	case st.State == bounce.StateWorking:
		out.Tone, out.Title = "good", "The bounce mailbox is read every minute"
	default:
		out.Tone, out.Title = "warn", "The bounce mailbox was not read yet"
	}
	for _, kind := range bounce.Counts() {
		if n := o.Counts[kind]; n > 0 {
			out.Counts = append(out.Counts, page.BounceCount{Label: countWords[kind], N: int(n)})
		}
	}
	return out
}

var countWords = map[string]string{
	"failed": "Letters that came back", "delayed": "Reported late", "delivered": "Reported as arrived", "refused": "Refused at once",
	"reply": "Automatic answers", "foreign": "Reports about other mail", "other": "Other mail", "unreadable": "Unreadable",
}

// bounceMarks adds the addresses that mail came back from, with whose they are.
func (s *Site) bounceMarks(v *visit, p *page.MailBounces) error {
	marks, total, err := s.Bounces.Standing(v.ctx(), v.by, shownMarks)
	if err != nil {
		return err
	}
	p.MoreMarks = total - len(marks)
	for _, m := range marks {
		row := page.BounceMark{
			Address: m.Address, Since: m.Since, Last: m.Last, Times: int(m.Times), Refused: m.Origin == bounce.FromRefusal, Status: m.Status,
			Said: page.Said(m.Said),
		}
		if m.LetterID != "" {
			row.LetterPath = journalPath + "/" + m.LetterID
		}
		name, err := s.userOfMark(v, m)
		if err != nil {
			return err
		}
		if name != "" {
			row.User, row.UserPath = name, "/users/"+m.UserID
		}
		p.Marks = append(p.Marks, row)
	}
	return nil
}

// userOfMark returns the name of the user whom the last letter to a marked
// address was for, and "" where the address is not theirs any more.
func (s *Site) userOfMark(v *visit, m bounce.Mark) (string, error) {
	if m.UserID == "" || !v.by.May(actor.ManageUsers) {
		return "", nil
	}
	u, err := s.Users.User(v.ctx(), v.by, m.UserID)
	if fault.Is(err, fault.KindNotFound) || err == nil && !strings.EqualFold(u.Email, m.Address) {
		return "", nil
	}
	return u.Name, err
}

func storedBounces(_ *visit, set bounce.Settings) page.BounceForm {
	return page.BounceForm{
		Revision: set.Revision, Envelope: string(set.Envelope), Address: set.Address, Ask: set.Ask, Reads: set.Reads, Host: set.Host,
		Port: strconv.Itoa(set.Port), Security: string(set.Security), Auth: string(set.Auth), Username: set.Username, Account: set.AccountID,
		Folder: set.Folder, Handled: string(set.Handled), MoveTo: set.MoveTo,
	}
}

// typedBounces is the form as it was sent, without what no page shows again.
func typedBounces(v *visit, _ bounce.Settings) page.BounceForm {
	f := page.BounceForm{
		Revision: v.number("revision"), Envelope: v.text("envelope"), Address: v.text("address"), Ask: v.has("ask"), Reads: v.has("reads"),
		Host: v.text("host"), Port: v.text("port"), Security: v.text("security"), Auth: v.text("auth"), Username: v.text("username"),
		PasswordAction: v.text("password_action"), Account: v.text("account"), AccountText: v.text("account_text"), Folder: v.text("folder"),
		Handled: v.text("handled"), MoveTo: v.text("move_to"), Candidates: candidates(v),
	}
	f.PasswordLost = f.Reads && f.Auth == string(bounce.AuthTyped) && f.PasswordAction == string(mail.Replace) && v.values.Get("password") != ""
	return f
}

// bounceChange reads the form as what the settings are to be.
func bounceChange(v *visit) (bounce.Change, error) {
	if err := takeAuthorities(v); err != nil {
		return bounce.Change{}, err
	}
	c := bounce.Change{Settings: bounce.Settings{
		Revision: v.number("revision"), Envelope: bounce.Envelope(v.text("envelope")), Address: v.text("address"), Ask: v.has("ask"), Reads: v.has("reads"),
		Host: v.text("host"), Port: int(v.number("port")), Security: smtp.Security(v.text("security")), Auth: mail.AuthKind(v.text("auth")),
		Username: v.text("username"), AccountID: v.text("account"), Folder: v.text("folder"), Handled: bounce.Handled(v.text("handled")), MoveTo: v.text("move_to"),
	}, Distrust: v.values["distrust"]}
	if c.Auth == bounce.AuthTyped {
		c.Password = typedSecret(v, "password")
	}
	for _, value := range candidateValues(v) {
		candidate, err := parseCandidate(value)
		if err != nil {
			return c, err
		}
		c.Trust = append(c.Trust, candidate)
	}
	return c, nil
}

// bounceAccounts are the accounts that fit text, the chosen one first.
func (s *Site) bounceAccounts(v *visit, text, chosen string) ([]page.Option, error) {
	options := []page.Option{{Label: "Choose an account"}}
	found, err := s.Vault.SearchAccounts(v.ctx(), v.by, text, pickedAccounts)
	if err != nil {
		return nil, err
	}
	known := chosen == ""
	for _, a := range found {
		known = known || a.ID == chosen
		options = append(options, page.Option{Value: a.ID, Label: a.ResourceName + " / " + a.Name})
	}
	if known {
		return options, nil
	}
	label := "An account of somebody else"
	switch a, err := s.Vault.Account(v.ctx(), v.by, chosen); {
	case err == nil:
		label = a.ResourceName + " / " + a.Name
	case !fault.Is(err, fault.KindNotFound):
		return nil, err
	}
	return append(options, page.Option{Value: chosen, Label: label}), nil
}

// fillBounces changes the form without saving it: a search for an account,
// certificates, one that is left out.
func (s *Site) fillBounces(v *visit) error {
	if err := takeAuthorities(v); err != nil {
		return s.bouncesRefused(v, nil, err)
	}
	p, err := s.bounces(v, typedBounces)
	if err != nil {
		return err
	}
	return v.render(p)
}

func (s *Site) testBounces(v *visit) error {
	c, err := bounceChange(v)
	var report bounce.Report
	if err == nil {
		report, err = s.Bounces.Test(v.ctx(), v.by, c)
	}
	if err != nil {
		return s.bouncesRefused(v, nil, err)
	}
	p, err := s.bounces(v, typedBounces)
	if err != nil {
		return err
	}
	p.Test, p.Form.OfferAnyway = s.bounceTest(report), !report.Passed
	return v.render(p)
}

func (s *Site) bounceTest(r bounce.Report) *page.BounceTest {
	t := &page.BounceTest{Passed: r.Passed}
	for _, st := range r.Steps {
		step := page.CheckStep{Title: st.Title, Is: "ok", Detail: st.Detail, Advice: st.Advice, Raw: page.Said(st.Said)}
		if st.Failed {
			step.Is = "bad"
		}
		for i, card := range st.Chain {
			c := checkup.Certificate(card, s.Now())
			c.Place = checkup.Place(i, len(st.Chain), card)
			if st.CanTrust && (i == 0 || i == len(st.Chain)-1 && card.IsCA) {
				c.Trust = checkup.Candidate(trust.ModeAnchor, card.DER)
			}
			if st.CanPin && i == 0 {
				c.Pin = checkup.Candidate(trust.ModePin, card.DER)
			}
			step.Chain = append(step.Chain, c)
		}
		t.Steps = append(t.Steps, step)
	}
	return t
}

// saveBounces saves the settings. A mailbox that is to be read is tested first,
// unless a person wants it saved anyway.
func (s *Site) saveBounces(v *visit) error {
	c, err := bounceChange(v)
	if err == nil {
		err = s.takeOwnPassword(v)
	}
	var report *page.BounceTest
	if err == nil && c.Reads && v.text("do") != "anyway" {
		r, testErr := s.Bounces.Test(v.ctx(), v.by, c)
		if err = testErr; err == nil && !r.Passed {
			report, err = s.bounceTest(r), fault.Invalid(fieldAnyway, "The test failed, so nothing was saved. Its steps say why.")
		}
	}
	if err == nil {
		_, err = s.Bounces.Save(v.ctx(), v.by, c)
	}
	if err != nil {
		return s.bouncesRefused(v, report, err)
	}
	return v.redirect(bounce.Path, "The settings for bounces are saved.")
}

// bouncesRefused shows the form with what was typed and what is wrong with it.
func (s *Site) bouncesRefused(v *visit, report *page.BounceTest, err error) error {
	p, pageErr := s.bounces(v, typedBounces)
	if pageErr != nil {
		return pageErr
	}
	if fault.CodeOf(err) == fault.CodeReauthenticate {
		err = fault.Invalid(fieldOwnPassword, "Type your own password: with these settings reports go elsewhere.")
	}
	p.Test = report
	for _, f := range fault.Fields(err) {
		switch f.Field {
		case "password":
			p.Form.PasswordAction = string(mail.Replace)
		case fieldOwnPassword:
			p.Form.AskOwnPassword = true
		case fieldAnyway:
			p.Form.OfferAnyway = true
		}
	}
	return v.again(p, err)
}

func (s *Site) readBounces(v *visit) error {
	if err := s.Bounces.ReadNow(v.ctx(), v.by); err != nil {
		return s.bouncesRefused(v, nil, err)
	}
	return v.redirect(bounce.Path, "The mailbox is read in a moment. Reload the page to see what came of it.")
}

func (s *Site) clearBounce(v *visit) error {
	address := v.text("address")
	if err := s.Bounces.Clear(v.ctx(), v.by, address); err != nil {
		return err
	}
	return v.redirect(bounce.Path+"#addresses", "The mark is off "+address+". If the next letter comes back too, it returns.")
}

// mailAgain takes the mark off a user's address.
func (s *Site) mailAgain(v *visit) error {
	u, err := s.Users.User(v.ctx(), v.by, v.id("id"))
	if err == nil {
		err = s.Bounces.Clear(v.ctx(), v.by, u.Email)
	}
	if err != nil {
		return s.userAgain(v, err)
	}
	return v.redirect("/users/"+u.ID, "Mail to "+u.Email+" is expected to arrive again.")
}

// cameBack is what a page says of a marked address; nil where it is not marked.
func (s *Site) cameBack(v *visit, address string) (*page.CameBack, error) {
	marks, err := s.Bounces.Marks(v.ctx(), v.by, address)
	if err != nil {
		return nil, err
	}
	m, ok := marks[address]
	if !ok {
		return nil, nil
	}
	c := &page.CameBack{Last: m.Last, Status: m.Status, Said: page.Said(m.Said), Refused: m.Origin == bounce.FromRefusal}
	if m.LetterID != "" && s.open(v.by, journalPath) {
		c.LetterPath = journalPath + "/" + m.LetterID
	}
	return c, nil
}

// homeBounces tells of users whom mail does not reach.
func (s *Site) homeBounces(v *visit, p *page.Home) error {
	if !v.by.May(actor.ManageUsers) {
		return nil
	}
	marks, total, err := s.Bounces.Standing(v.ctx(), v.by, homeMarks)
	if err != nil {
		return err
	}
	n := 0
	for _, m := range marks {
		name, err := s.userOfMark(v, m)
		if err != nil {
			return err
		}
		if name != "" {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	text := "Mail to 1 user came back"
	if n > 1 {
		text = "Mail to " + page.Count(n) + " users came back"
	}
	if total > homeMarks {
		text = "Mail to " + page.Count(n) + " users or more came back"
	}
	w := page.Waiting{Text: text, Tone: "bad", Path: "/users", Action: "Look"}
	if s.open(v.by, bounce.Path) {
		w.Path = bounce.Path + "#addresses"
	}
	p.Waiting = append(p.Waiting, w)
	return nil
}
