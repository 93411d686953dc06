// Package blueprint owns set-up as code: a YAML file that says what Access
// URL, mail profile, trusted certificates, users, resources and accounts a
// Sealpost should have, and the operation that brings it there.
//
// [Parse] reads the file, [Make] compares it with what is there and returns the
// steps, [Plan.Apply] takes them through the same operations as the pages,
// each audited like any change. Applying a file twice does nothing the second
// time. What the file does not mention stays as it is: nothing is ever
// deleted.
//
// Secrets stand in the file by reference only ("env:NAME", "file:PATH"); a
// literal is refused. The package reads neither files nor the environment:
// its caller resolves the references and passes contents.
package blueprint
