package schema

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestUpgradeGolden holds upgrades to what the reference made of the same
// documents, and said: testdata/upgrades.txt.
func TestUpgradeGolden(t *testing.T) {
	b, err := os.ReadFile("testdata/upgrades.txt")
	if err != nil {
		t.Fatal(err)
	}
	cases := 0
	for i, block := range strings.Split(string(b), "\n\n") {
		var before, want string
		var said []string
		for line := range strings.Lines(block) {
			line = strings.TrimSuffix(line, "\n")
			if len(line) < 7 || strings.HasPrefix(line, "#") {
				continue
			}
			switch key, text := strings.TrimSpace(line[:7]), line[7:]; key {
			case "before":
				before = text
			case "after", "ours": // ours comes later
				want = text
			case "said":
				said = append(said, text)
			case "why":
			default:
				t.Fatalf("block %d: %q", i, line)
			}
		}
		if before == "" {
			continue
		}
		cases++
		t.Run(fmt.Sprint(i), func(t *testing.T) { golden(t, before, want, said) })
	}
	if cases < 100 {
		t.Errorf("%d cases", cases)
	}
}

func golden(t *testing.T, before, want string, said []string) {
	whole := func(text string) string {
		version, config, _ := strings.Cut(text, " ")
		return cib("pacemaker-"+version, config)
	}
	var got []string
	up, err := UpgradeWith(parse(t, whole(before)), UpgradeOptions{Report: func(m Message) {
		if m.From == "" && m.Problem == nil && !strings.Contains(m.Text, "... it depends on a rule, and is lost") { // our own
			got = append(got, m.Text)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if wanted := parse(t, whole(want)); up.Sum() != wanted.Sum() {
		t.Errorf("before %s\ngot    %s\nwant   %s", before, up.Bytes(), wanted.Bytes())
	}
	if strings.Join(got, "\n") != strings.Join(said, "\n") {
		t.Errorf("before %s\nsaid %s\nwant %s", before, strings.Join(got, "\n     "), strings.Join(said, "\n     "))
	}
}
