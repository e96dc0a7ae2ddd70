// Package devstack is everything around Talon that a demonstration or an end-to-end test needs on one machine: a Temporal
// server with its Web UI, FTP servers with the files of bank branches, the worker and starter processes under supervision,
// and the judgement whether what was collected is what the branches served.
//
// It is no part of the product. It knows the product's command lines, its configuration file, its warehouse layout and its
// JSON result, and none of its code. Processes started here die with the process that started them, also when that one is
// killed, so nothing is left behind. Linux only, like the rest of Talon.
package devstack
