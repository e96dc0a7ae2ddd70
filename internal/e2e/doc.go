// Package e2e tests Talon from the outside: the real worker and starter programs as processes, a real Temporal server, real
// FTP servers over loopback, and faults put into all of them. The oracle is what was put on the FTP servers; judgement shares
// nothing with the product but its command lines, its configuration file, its warehouse layout and its JSON names.
//
// Each test has a Temporal namespace and a warehouse of its own, and all but one share a server. "In the middle of a run" is
// always a condition (an FTP transfer that is held), never a length of time.
package e2e
