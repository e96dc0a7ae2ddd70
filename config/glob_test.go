package config

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestWants(t *testing.T) {
	for _, test := range []struct {
		name             string
		include, exclude []string
		wanted, unwanted []string
	}{
		{
			name:    "everything",
			include: []string{"*"},
			wanted:  []string{"a.zip", "x/y/a.zip", ".hidden", "名.zip", "a\xff.zip", "[a].zip"},
		},
		{
			name:     "a pattern without a slash is for base names",
			include:  []string{"*.zip", "data-?.[ct]sv"},
			wanted:   []string{"a.zip", "x/y/a.zip", "x/data-1.csv", "data-名.tsv"},
			unwanted: []string{"a.ZIP", "a.zip.part", "a.zip/b", "data-10.csv", "data-1.xsv"},
		},
		{
			name:     "one with a slash is for the whole path",
			include:  []string{"daily/*.zip", "/*.gz"},
			wanted:   []string{"daily/a.zip", "a.gz"},
			unwanted: []string{"a.zip", "x/daily/a.zip", "daily/x/a.zip", "x/a.gz"},
		},
		{
			name:     "one that ends in a slash is for directories",
			include:  []string{"*"},
			exclude:  []string{"tmp/", "a/b/", "/root/", "old-*/"},
			wanted:   []string{"tmp", "x/tmp", "a/bc/f", "x/a/b/f", "x/root/f", "old/f"},
			unwanted: []string{"tmp/f", "x/tmp/y/f", "a/b/f", "a/b/c/f", "root/f", "x/old-1/f"},
		},
		{
			name:     "exclude wins",
			include:  []string{"*.zip"},
			exclude:  []string{"secret*", "in/x.zip"},
			wanted:   []string{"a.zip", "x.zip"},
			unwanted: []string{"secret.zip", "in/secret-1.zip", "in/x.zip", "a.txt"},
		},
		{
			name:     "a regular expression is searched in the whole path",
			include:  []string{`re:^daily/\d{8}\.zip$`, "re:invoice", "re:^x/", "*.gz"},
			exclude:  []string{"re:(?i)draft", "old/"},
			wanted:   []string{"daily/20260131.zip", "y/invoices/1", "my-invoice.csv", "x/a", "a.gz", "invoice-\xff"},
			unwanted: []string{"a/daily/20260131.zip", "daily/20260131.zip.part", "daily/2026.zip", "y/x/a", "x/Draft/a", "old/a.gz", "re:"},
		},
		{
			name:     "only at its beginning re: is no part of a glob",
			include:  []string{"x-re:*"},
			wanted:   []string{"x-re:1"},
			unwanted: []string{"x-re"},
		},
		{name: "nothing is included by nothing", unwanted: []string{"a.zip"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := Server{Include: test.include, Exclude: test.exclude}
			for _, file := range test.wanted {
				assert.True(t, server.Wants(file), file)
			}
			for _, file := range test.unwanted {
				assert.False(t, server.Wants(file), file)
			}
		})
	}
}
