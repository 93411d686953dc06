package oauthtest

import (
	"bytes"
	"encoding/base64"
	"io"
	"net/http"
	"net/mail"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// maxGraph bounds a request with a letter, in bytes.
const maxGraph = 4 << 20

// graphError answers as Graph refuses.
func (s *Stand) graphError(a *answer, status int, code, message string) {
	about := map[string]string{"date": s.now().UTC().Format("2006-01-02T15:04:05"), "request-id": a.header.Get("Request-Id")}
	a.json(status, map[string]any{"error": map[string]any{"code": code, "message": message, "innerError": about}})
}

// graphMe takes a letter of whoever the token is for.
func (s *Stand) graphMe(a *answer, r *http.Request) { s.graph(a, r, "") }

// graphUser takes a letter of a mailbox.
func (s *Stand) graphUser(a *answer, r *http.Request) { s.graph(a, r, r.PathValue("mailbox")) }

func (s *Stand) graph(a *answer, r *http.Request, mailbox string) {
	a.header.Set("Request-Id", uuid.NewString())
	body, _ := io.ReadAll(io.LimitReader(r.Body, maxGraph+1))
	s.mu.Lock()
	defer s.mu.Unlock()
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	t, live := s.live(token)
	switch {
	case !ok || token == "":
		s.graphError(a, http.StatusUnauthorized, "InvalidAuthenticationToken", "Access token is empty.")
	case !live:
		s.graphError(a, http.StatusUnauthorized, "InvalidAuthenticationToken", "Lifetime validation failed, the token is expired.")
	case t.kind != "graph":
		s.graphError(a, http.StatusUnauthorized, "InvalidAuthenticationToken", "Access token validation failure. Invalid audience.")
	case r.Method != http.MethodPost:
		s.graphError(a, http.StatusMethodNotAllowed, "Request_BadRequest", "Specified HTTP method is not allowed for the request target.")
	case len(body) > maxGraph:
		s.graphError(a, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "The request is larger than 4 MB.")
	case mailbox == "" && t.user == "":
		s.graphError(a, http.StatusBadRequest, "BadRequest", "/me request is only valid with delegated authentication flow.")
	default:
		if mailbox == "" {
			mailbox = t.user
		}
		s.graphTakes(a, r, t, mailbox, body)
	}
}

// graphTakes looks at who may send, and takes the letter.
func (s *Stand) graphTakes(a *answer, r *http.Request, t *access, mailbox string, body []byte) {
	u, ok := s.users[strings.ToLower(mailbox)]
	app := s.apps[t.app]
	mime, err := base64.StdEncoding.DecodeString(string(body))
	switch {
	case !ok || u.Tenant != t.tenant:
		s.graphError(a, http.StatusNotFound, "ErrorInvalidUser", "The requested user '"+mailbox+"' is invalid.")
	case !u.Mailbox:
		s.graphError(a, http.StatusNotFound, "MailboxNotEnabledForRESTAPI", "The mailbox is either inactive, soft-deleted, or is hosted on-premise.")
	case t.user == "" && !t.may("Mail.Send") && !has(app.Scoped, u.Name), t.user != "" && (!t.may("Mail.Send") || !strings.EqualFold(t.user, u.Name)):
		s.graphError(a, http.StatusForbidden, "ErrorAccessDenied", "Access is denied. Check credentials and try again.")
	case !strings.HasPrefix(r.Header.Get("Content-Type"), "text/plain"):
		s.graphError(a, http.StatusBadRequest, "UnableToDeserializePostBody", "were unable to deserialize ")
	case err != nil || len(body) == 0:
		s.graphError(a, http.StatusBadRequest, "ErrorMimeContentInvalidBase64String", "Invalid base64 string for MIME content.")
	default:
		s.graphSends(a, u, mime)
	}
}

func (s *Stand) graphSends(a *answer, u User, mime []byte) {
	m, err := mail.ReadMessage(bytes.NewReader(mime))
	if err != nil {
		s.graphError(a, http.StatusBadRequest, "ErrorMimeContentInvalid", "The MIME content is not valid.")
		return
	}
	var to []string
	for _, name := range []string{"To", "Cc", "Bcc"} {
		list, _ := m.Header.AddressList(name)
		for _, v := range list {
			to = append(to, v.Address)
		}
	}
	from, err := m.Header.AddressList("From")
	use := s.usage(u.Name)
	switch {
	case err != nil || len(to) == 0:
		s.graphError(a, http.StatusBadRequest, "ErrorInvalidRecipients", "At least one recipient isn't valid.")
	case !has(append(slices.Clone(u.SendAs), u.Name), from[0].Address):
		s.graphError(a, http.StatusForbidden, "ErrorSendAsDenied",
			"The user account which was used to submit this request does not have the right to send mail on behalf of the specified sending account.")
	case u.Full:
		s.graphError(a, http.StatusInsufficientStorage, "ErrorQuotaExceeded", "The mailbox is full.")
	case !use.day(s.now(), s.limits.PerDay, len(to)):
		s.graphError(a, http.StatusTooManyRequests, "ErrorSubmissionQuotaExceeded", "The message can't be sent because the sender's submission quota was exceeded.")
	case !use.minute(s.now(), s.limits.PerMinute):
		use.refused++
		a.header.Set("Retry-After", "20")
		s.graphError(a, http.StatusTooManyRequests, "ApplicationThrottled", "Application is over its MailboxConcurrency limit.")
	default:
		use.count(s.now(), len(to))
		s.take(Letter{Via: "graph", Login: u.Name, From: from[0].Address, To: to, Raw: mime})
		a.status = http.StatusAccepted
	}
}
