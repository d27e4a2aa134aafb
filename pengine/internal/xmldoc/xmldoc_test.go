package xmldoc

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	root, err := Parse([]byte("<?xml version='1.0'?>\n<!-- x --><a p=\"1 &lt; &#65;&quot;\" q='&#x42;'>\n <b id=\"1\"/> text <b id=\"2\"><c/></b>\n</a>\n"))
	if err != nil {
		t.Fatal(err)
	}
	if root.Attr("p") != `1 < A"` || root.Attr("q") != "B" {
		t.Errorf("attributes %q", root.List())
	}
	n := 0
	for b := range root.Children("b") {
		n++
		if b.Parent != root {
			t.Error("wrong parent")
		}
	}
	if n != 2 || root.Kids[1].Child("c") == nil {
		t.Error("children lost")
	}
	again, err := Parse([]byte(root.String()))
	if err != nil || again.String() != root.String() {
		t.Errorf("written and read again: %v\n%s", err, root)
	}
}

func TestRefused(t *testing.T) {
	for _, text := range []string{
		"", "x", "<a", "<a>", "<a></b>", "<a/><b/>", "</a>", "<a b/>", "<a b=1/>", "<a b='1/>", "<a b='1' b='2'/>", "<a b='<'/>", "<a b='&x;'/>",
		"<a b='&'/>", "<!--", "<?x", "< a/>", strings.Repeat("<a>", 300) + strings.Repeat("</a>", 300),
	} {
		if _, err := Parse([]byte(text)); err == nil {
			t.Errorf("accepted %.40q", text)
		}
	}
}

func TestEscape(t *testing.T) {
	for in, want := range map[string]string{
		"plain": "plain", `<>&"'`: "&lt;&gt;&amp;&quot;&apos;", "a\tb": "a    b", "a\nb\r": `a\nb\r`, "\x01": `\001`,
		"a\xe9b": `a\351b`, "ä<": "ä<", // a pair of high bytes ends the escaping
	} {
		var b strings.Builder
		if Escape(&b, in); b.String() != want {
			t.Errorf("%q escaped is %q, want %q", in, b.String(), want)
		}
	}
}

func FuzzParseXML(f *testing.F) {
	f.Add([]byte(`<a b="c"><d/></a>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		root, err := Parse(data)
		if err != nil {
			return
		}
		text := root.String()
		again, err := Parse([]byte(text))
		if err != nil || again.String() != text {
			t.Errorf("%q does not survive being written: %v", text, err)
		}
	})
}
