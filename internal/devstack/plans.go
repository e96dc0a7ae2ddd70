package devstack

import "fmt"

// plan is how a branch of the demo is made.
type plan struct {
	about     string
	fault     Fault
	encoding  string
	emptyDirs []string
	items     func(*writer) []item
}

// plans are the branches, in the order of their numbers.
var plans = []plan{
	{about: "plain text, CSV and logs", items: plainFiles},
	{about: "zip archives", items: zipArchives},
	{about: "tar.gz archives", items: tarGzArchives},
	{about: "a tar.zst archive", items: tarZstArchives},
	{about: "a 7z archive", items: sevenZipArchives},
	{about: "a rar archive", items: rarArchives},
	{about: "archives inside archives, three deep: zip in tar.gz in zip", items: threeDeep},
	{about: "names in Chinese, UTF-8 on the wire", items: chineseNames},
	{about: "names in Chinese, GBK on the wire", encoding: "gbk", items: chineseNames},
	{about: "nothing to collect today", emptyDirs: []string{"archive"}},
	{about: "an upload that broke off: one archive is corrupt", items: brokenUpload},
	{about: "wrong password", fault: WrongPassword, items: plainFiles},
	{about: "server is down", fault: Down, items: plainFiles},
	{about: "many small files in directories", items: manySmall},
	{about: "every kind of archive inside another", items: mixedNests},
}

func plainFiles(w *writer) []item {
	return []item{
		text("statements", ".csv", w.statements(900*kilobyte)),
		text("ledger", ".txt", w.ledger(400*kilobyte)),
		text("atm_journal", ".jsonl", w.journal(600*kilobyte)),
		text("rates", ".csv", w.statements(kilobyte)),
	}
}

func zipArchives(w *writer) []item {
	return []item{
		pack("daily", ".zip",
			text("statements", ".csv", w.statements(2*megabyte)), text("ledger", ".txt", w.ledger(500*kilobyte))),
		pack("cheques", ".zip",
			text("front/0001", ".txt", w.receipt(1)), text("front/0002", ".txt", w.receipt(2)),
			text("back/0001", ".txt", w.receipt(3))),
		text("control", ".txt", w.receipt(4)),
	}
}

func tarGzArchives(w *writer) []item {
	return []item{
		pack("daily", ".tar.gz",
			text("statements", ".csv", w.statements(megabyte)), text("ledger", ".txt", w.ledger(700*kilobyte))),
		pack("foreign_exchange", ".tar.gz", text("deals", ".csv", w.statements(300*kilobyte))),
	}
}

func tarZstArchives(w *writer) []item {
	return []item{
		pack("atm", ".tar.zst", text("journal", ".jsonl", w.journal(2*megabyte)), text("cash", ".csv", w.statements(40*kilobyte))),
	}
}

func sevenZipArchives(w *writer) []item {
	return []item{
		pack("loans", ".7z", text("portfolio", ".csv", w.statements(800*kilobyte)), text("arrears", ".txt", w.ledger(60*kilobyte))),
	}
}

func rarArchives(w *writer) []item {
	return []item{
		pack("cards", ".rar", text("issued", ".csv", w.statements(500*kilobyte)), text("blocked", ".txt", w.ledger(20*kilobyte))),
	}
}

func threeDeep(w *writer) []item {
	return []item{
		pack("month_end", ".zip",
			text("cover", ".txt", w.receipt(1)),
			pack("region", ".tar.gz",
				text("summary", ".csv", w.statements(200*kilobyte)),
				pack("branch", ".zip",
					text("statements", ".csv", w.statements(600*kilobyte)), text("ledger", ".txt", w.ledger(300*kilobyte))))),
	}
}

func chineseNames(w *writer) []item {
	return []item{
		text("对账单", ".csv", w.statements(700*kilobyte)),
		text("日报/总账", ".txt", w.ledger(200*kilobyte)),
		pack("流水", ".zip",
			text("账户/余额", ".csv", w.statements(300*kilobyte)), text("账户/明细", ".csv", w.statements(400*kilobyte))),
	}
}

func brokenUpload(w *writer) []item {
	return []item{
		cutShort{pack("evening", ".zip",
			text("statements", ".csv", w.statements(500*kilobyte)), text("ledger", ".txt", w.ledger(300*kilobyte)))},
		pack("morning", ".zip", text("statements", ".csv", w.statements(400*kilobyte))),
		text("statements", ".csv", w.statements(200*kilobyte)),
	}
}

func manySmall(w *writer) []item {
	var items []item
	for hour := 9; hour < 17; hour++ {
		for number := range 10 {
			items = append(items, text(fmt.Sprintf("receipts/%02d/%04d", hour, number), ".txt", w.receipt(hour*100+number)))
		}
	}
	return items
}

func mixedNests(w *writer) []item {
	return []item{
		pack("audit", ".zip",
			gzipped{text("events", ".csv", w.statements(300*kilobyte))},
			pack("parts/loans", ".7z", text("loans", ".csv", w.statements(200*kilobyte))),
			pack("parts/atm", ".tar.zst", text("journal", ".jsonl", w.journal(300*kilobyte)))),
		pack("backup", ".tar.gz",
			pack("cards", ".rar", text("cards", ".csv", w.statements(100*kilobyte))),
			pack("fees", ".tar", text("fees", ".csv", w.statements(150*kilobyte)))),
	}
}
