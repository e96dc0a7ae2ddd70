package archive

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// bankFiles are names as Windows programs of a country write them, by the code page of that country.
var bankFiles = map[string]string{
	"gbk": `报表.xlsx 报表/一月.txt 对账单_2026年01月.csv 交易明细.csv 账户余额表 客户资料/身份证扫描件.zip 银行流水.pdf 日终报表20260131.txt
		总账科目余额.xls 贷款合同 存款利息计算 外汇牌价.csv 汇款凭证 对公账户 个人网银 清算文件 差错处理 借记卡交易 分行汇总 上海分行/浦东支行.dat
		信用卡账单(3月).pdf 工资表 增值税发票 审计报告 附件1.doc 说明.txt 新建文件夹/新建文本文档.txt 测试数据 历史数据备份 手续费 核心系统
		反洗钱报告.docx 资产负债表 利润表 现金流量表 第一季度 最终版 回单 冲正 柜员`,
	"big5": `報表.xlsx 對帳單_2026年01月.csv 交易明細.csv 帳戶餘額 客戶資料/身分證影本.zip 存摺封面.pdf 日結報表20260131.txt 總分類帳.xls 貸款契約
		存款利息 外匯牌告.csv 匯款單 網路銀行 清算檔案 扣款失敗 金融卡 分行彙總 台北分行/信義支行.dat 信用卡帳單(3月).pdf 薪資表 統一發票
		查核報告 附件1.doc 說明.txt 新增資料夾/新文字文件.txt 測試資料 歷史備份 手續費 資產負債表 損益表 現金流量表 第一季 最終版 繳款書`,
	"shift_jis": `明細書.xlsx 取引明細_2026年01月.csv 残高証明書.pdf 口座一覧.csv 入出金明細 顧客データ/本人確認書類.zip 振込依頼書 日次レポート20260131.txt
		総勘定元帳.xls 融資契約書 預金利息 外国為替.csv 送金控え インターネットバンキング 決済ファイル エラーログ カード利用明細 支店別集計
		東京支店/新宿.dat ご利用代金(3月).pdf 給与明細 請求書 監査報告書 添付1.doc はじめにお読みください.txt 新しいフォルダー/テスト.txt
		バックアップ 手数料 貸借対照表 損益計算書 第１四半期 最終版 ﾃﾞｰﾀ.csv ﾌﾘｺﾐ 表`,
	"euc-kr": `거래내역서.xlsx 거래내역_2026년01월.csv 잔액증명서.pdf 계좌목록.csv 입출금내역 고객자료/신분증사본.zip 통장사본.pdf 일일보고서20260131.txt
		총계정원장.xls 대출계약서 예금이자 환율고시.csv 송금확인증 인터넷뱅킹 정산파일 오류목록 카드이용내역 지점별집계 서울지점/강남.dat
		이용대금명세서(3월).pdf 급여명세서 세금계산서 감사보고서 첨부1.doc 읽어주세요.txt 새 폴더/새 텍스트 문서.txt 백업자료 수수료
		재무상태표 손익계산서 1분기 최종본 전표 결산`,
	"ibm437": `kontoauszüge.csv Kontoauszüge/März_2026.pdf Überweisungen.xls Rückläufer.txt Gebührenübersicht.csv Verträge/Größe.doc Kündigung_für_Müller.pdf
		Jahresabschluß.xls relevés_de_compte.csv opérations_2026.xls reçu_n°12.pdf échéances_février.csv Crédit_immobilier_août.pdf présenté_à_l'agence.doc
		contraseña_años.txt señor_muñoz.csv situación_económica.xls número_de_cuenta_último.csv Årsrapport_återbetalning.txt
		överföringar_mån.csv Università_perché.txt`,
	"ibm850": `informações_crédito.csv relação_de_transações.csv situação_açúcar.xls informações_não_lidas.txt balanço_às_três.pdf CRÉDIT_À_ÉCHÉANCE.pdf ÓRGÃO_PÚBLICO.xls
		kontoutskrift_løpende_rød.csv årsopgørelse_øre.txt ÅRSOPGØRELSE.csv REFERÊNCIA_ÚNICA.txt MÜLLER_GEBÜHREN.pdf`,
}

// TestCharsetsAreTold decodes the names with all charsets configured. A name with a single character beyond ASCII may be
// missed: many of these are good words in three countries.
func TestCharsetsAreTold(t *testing.T) {
	all, err := newCharsets([]string{"auto"})
	require.NoError(t, err)
	five, err := newCharsets([]string{"gbk", "big5", "shift_jis", "euc-kr", "cp437"})
	require.NoError(t, err)
	for label, c := range map[string]charsets{"auto": all, "five": five} {
		right, total := 0, 0
		for page, words := range bankFiles {
			if page == "ibm850" && label == "five" {
				continue // letters that code page 437 does not have
			}
			for _, name := range strings.Fields(words) {
				raw := encoded(t, page, name)
				text := c.decode(raw)
				if beyondASCII(name) < 2 {
					continue
				}
				total++
				if text == name {
					right++
				} else {
					t.Logf("%s: %s in %s is taken for %s", label, name, page, text)
				}
			}
		}
		t.Logf("%s: %d of %d", label, right, total)
		assert.Greater(t, total, 100)
		assert.GreaterOrEqual(t, float64(right)/float64(total), 0.95, label)
	}
}

// TestTheOtherNamesOfAnArchiveHelp: with them, not one of the names is missed.
func TestTheOtherNamesOfAnArchiveHelp(t *testing.T) {
	all, err := newCharsets([]string{"auto"})
	require.NoError(t, err)
	for page, words := range bankFiles {
		names := strings.Fields(words)
		var raws []string
		for _, name := range names {
			raws = append(raws, encoded(t, page, name))
		}
		c := all.prior(raws)
		for i, raw := range raws {
			assert.Equal(t, names[i], c.decode(raw), page)
		}
	}
}

// A name of some length is read for itself, whatever the others are in.
func TestEachNameIsDecodedForItself(t *testing.T) {
	all, err := newCharsets([]string{"auto"})
	require.NoError(t, err)
	names := map[string]string{
		"对账单明细_2026年.csv": "gbk", "對帳單與交易明細.csv": "big5", "入出金明細データ.csv": "shift_jis", "거래내역서_서울지점.csv": "euc-kr",
		"Kontoauszüge für März.csv": "ibm437",
	}
	var raws []string
	for name, page := range names {
		raws = append(raws, encoded(t, page, name))
	}
	for range 50 {
		raws = append(raws, encoded(t, "gbk", "报表"))
	}
	c := all.prior(raws)
	for name, page := range names {
		assert.Equal(t, name, c.decode(encoded(t, page, name)))
	}
	assert.Equal(t, "報表/Übersicht.txt", c.decode("報表/Übersicht.txt"), "UTF-8 among others")
	assert.Equal(t, "café.txt", c.decode("café.txt"))
	assert.Equal(t, "Привет.txt", c.decode("Привет.txt"))
}

// TestAmbiguousBytes: D2 BB is 一 in GBK and a Cyrillic letter in UTF-8.
func TestAmbiguousBytes(t *testing.T) {
	const one = "\xd2\xbb.txt"
	c, err := newCharsets([]string{"gbk"})
	require.NoError(t, err)
	report := encoded(t, "gbk", "报表.txt")
	assert.Equal(t, "һ.txt", c.decode(one), "alone it is UTF-8")
	assert.Equal(t, "һ.txt", c.prior([]string{one, "a.txt", "报表"}).decode(one), "so it is among names that are UTF-8 too")
	assert.Equal(t, "一.txt", c.prior([]string{one, "a.txt", report}).decode(one))
	for _, names := range [][]string{{report, "\xff"}, {"\xff", report}} {
		assert.Equal(t, "һ.txt", c.prior(names).decode(one), "one charset has to explain all the others")
	}
	assert.Equal(t, "һ.txt", c.decode(one), "a prior belongs to one archive")

	c, err = newCharsets([]string{"big5", "gbk"})
	require.NoError(t, err)
	assert.Equal(t, "一.txt", c.prior([]string{encoded(t, "gbk", "对账单明细")}).decode(one))
}

// TestOrderDecidesWhatIsHardToTell: these bytes are good words in two countries.
func TestOrderDecidesWhatIsHardToTell(t *testing.T) {
	for chinese, other := range map[string]string{"捣": "돈", "临": "줄"} {
		raw := encoded(t, "gbk", chinese)
		for want, order := range map[string][]string{chinese: {"gbk", "euc-kr"}, other: {"euc-kr", "gbk"}} {
			c, err := newCharsets(order)
			require.NoError(t, err)
			assert.Equal(t, want, c.decode(raw))
		}
	}
}

func TestOtherAlphabets(t *testing.T) {
	for page, name := range map[string]string{"windows-1251": "Выписка по счёту.xls", "koi8-r": "Отчет за январь.txt", "ibm866": "Остатки.csv"} {
		c, err := newCharsets([]string{"windows-1251", "koi8-r", "ibm866", "gbk"})
		require.NoError(t, err)
		assert.Equal(t, name, c.decode(encoded(t, page, name)), page)
	}
}

func TestDecodeWithoutAFittingCharset(t *testing.T) {
	for _, encodings := range [][]string{nil, {"gbk"}, {"gbk", "big5"}} {
		c, err := newCharsets(encodings)
		require.NoError(t, err)
		assert.Equal(t, "a\xff", c.prior([]string{"a\xff"}).decode("a\xff"))
		assert.Equal(t, "", c.decode(""))
	}
}

func TestNamesInASCIICostNothing(t *testing.T) {
	c, err := newCharsets([]string{"auto"})
	require.NoError(t, err)
	assert.Zero(t, testing.AllocsPerRun(10, func() { c.decode("2026/january/report.csv") }))
}

// encoded returns the bytes that a program which works in a code page stores for a name.
func encoded(t *testing.T, page, name string) string {
	t.Helper()
	c, err := newCharsets([]string{page})
	require.NoError(t, err)
	raw, err := c[0].encoding.NewEncoder().String(name)
	require.NoError(t, err, "%s in %s", name, page)
	return raw
}

func beyondASCII(name string) (n int) {
	for _, r := range name {
		if r >= utf8.RuneSelf {
			n++
		}
	}
	return n
}
