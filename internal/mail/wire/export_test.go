package wire

// ReadConnectReply reads a reply to CONNECT.
var ReadConnectReply = readConnectReply

// MaxConnectReply bounds it.
const MaxConnectReply = maxConnectReply
