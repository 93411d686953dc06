// Package notify owns what is told about mail before it stops and when it has:
// letters to administrators that something of the mail server ends, and alerts
// that are posted to a webhook, which need no mail.
//
// [Reminders] are sent at 60, 30, 14, 7, 3 and 1 days before an end and once
// after it, each once whatever restarts and however many nodes there are: the
// row that says so, the letters and the audit entry are one transaction.
//
// A [Webhook] follows the audit log: what is not audited cannot be told, and
// what was told can be read there. One node at a time posts, by a lease in a row
// and with no transaction open. An alert arrives once or, where an answer was
// lost, more often under the same id; in order; and within a day or not at all.
//
// The package refuses to follow redirects and to post in clear to another
// machine. It repeats neither the address of the webhook nor what it answers.
package notify
