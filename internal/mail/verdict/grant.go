package verdict

import "github.com/sealpost/sealpost/internal/mail/oauth"

// DecideGrant says what e, the failure to get a token from an authority of
// provider p, means.
func (t *Table) DecideGrant(e *oauth.Error, p oauth.Provider) Verdict {
	return Verdict{Act: Pause, Server: true, Remedy: RemedySettings, After: e.RetryAfter, Meaning: "The authority gives no token.", Mend: "Correct the settings.", Row: "grant-" + string(p)}
}
