// Package bench measures what Sealpost promises to be quick and small at. It
// has no code of its own; README.md holds the last results and the commands.
package bench
