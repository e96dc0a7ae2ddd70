// Package e2e tests Talon from the outside: the real worker and starter programs as processes, a real Temporal server, real
// FTP servers over loopback, and faults put into all of them. The oracle is what was put on the FTP servers; judgement shares
// nothing with the product but its command lines, its configuration file, its warehouse layout and its JSON names.
//
// Eagles without tiger's disk (remote*_test.go) reach it through a real gateway with a private authority's TLS, alone in an empty environment;
// what goes wrong on the way is done by a proxy, by signals, by a file system of a certain size, and in a network of its own.
//
// Each test has a Temporal namespace and a warehouse of its own, and all but one share a server. "In the middle of a run" is
// always a condition (an FTP transfer that is held), never a length of time.
package e2e
