// Package gateway runs versitygw, an S3 server over directories, on tiger's host, so that an eagle on another host can fetch archives
// and deliver bundles, and can do nothing else.
package gateway
