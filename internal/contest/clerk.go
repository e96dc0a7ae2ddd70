package contest

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"
)

// ClerkVersion is to be raised when clerks write other bytes: what was made of the old ones, and kept, is not to be used again.
const ClerkVersion = 1

// spread is the standard deviation of the logarithm of sizes.
const spread = 0.9

// written is the time of all files and directories, so that archives of them do not depend on when they were made.
var written = time.Date(2026, 11, 23, 5, 15, 0, 0, time.UTC)

// Date gives a directory, and all that is in it, the same time.
func Date(dir string) error {
	return filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chtimes(name, written, written)
	})
}

// kind is a kind of document that the systems of a bank write.
type kind struct {
	name, ext string
	heading   string
	line      func(c *Clerk, line []byte) []byte // appends one
}

var kinds = []kind{
	{"movements", ".csv", "time,account,customer,currency,amount,balance,reference,memo\n", (*Clerk).movement},
	{"ledger", ".txt", "GENERAL LEDGER\n\nACCOUNT    TITLE                                DEBIT             CREDIT\n", (*Clerk).posting},
	{"journal", ".json", "", (*Clerk).event},
}

// Clerk invents documents. The same seed gives the same bytes.
type Clerk struct {
	random *rand.Rand
	now    time.Time
}

// NewClerk returns a clerk.
func NewClerk(seed uint64) *Clerk {
	return &Clerk{random: rand.New(rand.NewPCG(seed, ClerkVersion)), now: written}
}

// Draw draws a number below n.
func (c *Clerk) Draw(n int) int { return c.random.IntN(n) }

// Size draws the size of a file, in bytes: log-normally, as sizes are on file systems (Agrawal et al., FAST 2007), where many
// files are small, and a few large ones have most of the bytes.
func (c *Clerk) Size(median float64) int64 {
	return int64(median * math.Exp(spread*c.random.NormFloat64()))
}

const filesPerDay, daysPerBranch = 20, 5

// Tree writes a tree of branches, days and documents.
func (c *Clerk) Tree(dir string, files int, median float64) error {
	for i := range files {
		day := i / filesPerDay
		folder := fmt.Sprintf("branch-%03d/2026-11-%02d", day/daysPerBranch+1, day%daysPerBranch+1)
		if err := c.Document(filepath.Join(dir, folder), i, c.Size(median)); err != nil {
			return err
		}
	}
	return nil
}

// Document writes a document of the kind that the number falls to.
func (c *Clerk) Document(dir string, number int, size int64) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	kind := kinds[number%len(kinds)]
	return c.write(filepath.Join(dir, fmt.Sprintf("%s-%04d%s", kind.name, number, kind.ext)), kind, size)
}

// Movements writes one table of account movements.
func (c *Clerk) Movements(name string, size int64) error { return c.write(name, kinds[0], size) }

func (c *Clerk) write(name string, kind kind, size int64) error {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := c.fill(file, kind, size); err != nil {
		return err
	}
	return file.Close()
}

// fill writes the heading and lines until there are size bytes.
func (c *Clerk) fill(w io.Writer, kind kind, size int64) error {
	out := bufio.NewWriterSize(w, 1<<16)
	line := []byte(kind.heading)
	for done := int64(0); ; line = kind.line(c, line[:0]) {
		if _, err := out.Write(line); err != nil {
			return err
		}
		if done += int64(len(line)); done >= size {
			return out.Flush()
		}
	}
}

func (c *Clerk) movement(line []byte) []byte {
	customer := c.customer()
	amount, balance := c.amount(), c.amount()*20
	return fmt.Appendf(line, "%s,6222%012d,%s,%s,%d.%02d,%d.%02d,TX%08d,%s\n", c.clock(), customer*7919,
		customers[customer%len(customers)], pick(c, currencies), amount/100, amount%100, balance/100, balance%100, c.random.IntN(100_000_000), pick(c, memos))
}

func (c *Clerk) posting(line []byte) []byte {
	debit, credit := c.amount(), c.amount()
	return fmt.Appendf(line, "%010d %-30s %12d.%02d %15d.%02d\n", 1000+c.random.IntN(400)*10, pick(c, titles),
		debit/100, debit%100, credit/100, credit%100)
}

func (c *Clerk) event(line []byte) []byte {
	return fmt.Appendf(line, `{"time":"%s","terminal":"ATM%03d","event":%q,"currency":%q,"amount":%d,"card":"%012d"}`+"\n",
		c.clock(), c.random.IntN(12), pick(c, events), pick(c, currencies), c.random.IntN(40)*50, c.customer()*7919)
}

// clock goes on by up to a second with each line.
func (c *Clerk) clock() string {
	c.now = c.now.Add(time.Duration(c.random.IntN(1000)) * time.Millisecond)
	return c.now.Format("2006-01-02T15:04:05.000")
}

// customer is the number of one; few of them have most of the movements.
func (c *Clerk) customer() int { return int(math.Exp(c.random.Float64() * 9)) }

// amount is in cents; round ones are frequent.
func (c *Clerk) amount() int {
	if c.random.IntN(2) == 0 {
		return 5000 * (1 + c.random.IntN(40))
	}
	return c.random.IntN(1_000_000)
}

func pick(c *Clerk, from []string) string { return from[c.random.IntN(len(from))] }

var (
	currencies = []string{"CNY", "CNY", "CNY", "CNY", "USD", "EUR", "HKD", "JPY"}
	customers  = []string{"Li Wei", "Wang Fang", "Zhang Min", "Chen Jing", "Liu Yang", "Zhao Lei", "Huang Xia", "Zhou Tao", "Wu Hong"}
	memos      = []string{
		"salary", "rent", "utilities", "loan repayment", "card purchase", "transfer to savings", "fees", "cash withdrawal",
	}
	titles = []string{
		"DEPOSITS OF CUSTOMERS", "LOANS TO CUSTOMERS", "INTEREST RECEIVED", "INTEREST PAID", "FEES AND COMMISSIONS", "CASH ON HAND",
	}
	events = []string{"card_inserted", "pin_verified", "cash_dispensed", "card_returned", "balance_shown", "cassette_low"}
)
