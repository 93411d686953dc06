// Package app is the composition root: it builds every room, wires them, runs
// them and stops them, and is the only package that does. [New] builds the
// domains without any listener, which is what a command of the command line
// needs; [Start] adds the web interface, the control socket, the capture
// mailbox, the metrics and the background loops; [Serve] is Start for a
// process, until it is told to stop.
//
// What the rooms need of each other against the direction of imports is handed
// over here: mail reads a stored account through the vault, identity asks the
// vault what a user owns, the vault asks mail where an account is used.
//
// Stopping goes against the flow of work: first nobody is let in and requests
// finish, then letters in flight, then the capture mailbox, then the database.
package app
