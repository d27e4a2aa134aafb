package value

import (
	"math"
	"slices"
	"testing"
)

func TestAdd(t *testing.T) {
	for _, c := range []struct{ a, b, want int }{
		{1, 2, 3},
		{Infinity, -5, Infinity},
		{-Infinity, 5, -Infinity},
		{Infinity, -Infinity, -Infinity}, // minus wins
		{999999, 5, Infinity},
		{-999999, -5, -Infinity},
	} {
		if got := Add(c.a, c.b); got != c.want {
			t.Errorf("%d + %d = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func TestScore(t *testing.T) {
	h := &Health{Red: -Infinity, Yellow: -10, Green: 7}
	for text, want := range map[string]int{
		"": 0, "INFINITY": Infinity, "+INFINITY": Infinity, "-INFINITY": -Infinity, "infinity": 0,
		"12": 12, " -3x": -3, "x": 0, "2000000": Infinity, "-2000000": -Infinity, "99999999999999999999": 0,
		"RED": -Infinity, "Yellow": -10, "green": 7,
	} {
		if got := h.Score(text); got != want {
			t.Errorf("score %q = %d, want %d", text, got, want)
		}
	}
	if got := (*Health)(nil).Score("red"); got != 0 {
		t.Errorf("colours without a strategy score %d", got)
	}
}

func TestBool(t *testing.T) {
	for text, want := range map[string][2]bool{
		"true": {true, true}, "ON": {true, true}, "y": {true, true}, "1": {true, true}, "Yes": {true, true},
		"false": {false, true}, "off": {false, true}, "N": {false, true}, "0": {false, true}, "no": {false, true},
		"": {false, false}, "maybe": {false, false}, "2": {false, false}, "truely": {false, false},
	} {
		if v, ok := Bool(text); [2]bool{v, ok} != want {
			t.Errorf("bool %q = %v, %v", text, v, ok)
		}
	}
}

func TestInterval(t *testing.T) {
	for _, c := range []struct {
		text  string
		want  int64
		valid bool
	}{
		{"10", 10000, true},
		{"10s", 10000, true},
		{"10ms", 10, true},
		{"5000us", 5, true},
		{"2min", 120000, true},
		{"1h", 3600000, true},
		{"1.5s", 1000, true},
		{".5s", 0, false},
		{"-5s", 0, false},
		{"1 d", 0, false},
		{"", 0, false},
		{" 7 s", 7000, true},
		{"9999999999999", math.MaxUint32, true},
		// Durations keep the original's arithmetic: n days count n-1.
		{"PT30S", 30000, true},
		{"P1DT1H", 3600000, true},
		{"P2D", 86400000, true},
		{"P1W", 6 * 86400000, true},
		{"P1Y", 0, true},
		{"P", 0, false},
		{"P5", 0, false},
	} {
		if got, valid := Interval(c.text); got != c.want || valid != c.valid {
			t.Errorf("interval %q = %d, %v, want %d, %v", c.text, got, valid, c.want, c.valid)
		}
	}
}

func TestBounded(t *testing.T) {
	for _, c := range []struct {
		text string
		min  int
		want int
	}{{"", 0, 0}, {"x", 1, 1}, {"-4", 0, 0}, {"3", 0, 3}, {"99999999999", 0, math.MaxInt32}} {
		if got := Bounded(c.text, c.min); got != c.want {
			t.Errorf("bounded %q from %d = %d, want %d", c.text, c.min, got, c.want)
		}
	}
}

func TestNodeOrder(t *testing.T) {
	want := []string{"a", "A1", "a2", "a07", "a10", "a10b", "b"}
	got := []string{"b", "a10b", "a10", "a07", "a2", "A1", "a"}
	slices.SortFunc(got, CompareNodeNames)
	if !slices.Equal(got, want) {
		t.Errorf("order %q, want %q", got, want)
	}
	if CompareNodeNames("n7", "n007") >= 0 {
		t.Error("of equal numbers the shorter comes first")
	}
}

func TestVersions(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{{"3.0.13", "3.0.9", 1}, {"3", "3.0", 0}, {"", "1", -1}, {"1", "", 1}, {"", "", 0}, {"3.16.0", "3.16.1", -1}} {
		if got := CompareVersions(c.a, c.b); got != c.want {
			t.Errorf("%q against %q: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func TestBaseName(t *testing.T) {
	for id, want := range map[string]string{"a:0": "a", "a:12": "a", "a": "a", "a:": "a:", ":1": ":1", "a:b": "a:b", "a1": "a1"} {
		if got := BaseName(id); got != want {
			t.Errorf("base name of %q is %q, want %q", id, got, want)
		}
	}
}

func TestMergeSortIsStableAndTopDown(t *testing.T) {
	s := []string{"b1", "a1", "b2", "a2", "a3"}
	MergeSort(s, func(x, y string) int { return int(x[0]) - int(y[0]) })
	if want := []string{"a1", "a2", "a3", "b1", "b2"}; !slices.Equal(s, want) {
		t.Errorf("sorted %q", s)
	}
	// A comparison that is no order: rock beats scissors beats paper beats rock.
	beats := map[string]int{"rs": -1, "sp": -1, "pr": -1, "sr": 1, "ps": 1, "rp": 1}
	s = []string{"r", "p", "s"}
	MergeSort(s, func(x, y string) int { return beats[x+y] })
	if want := []string{"r", "s", "p"}; !slices.Equal(s, want) {
		t.Errorf("the halves are [r] and [p s], so the result must be %q, got %q", want, s)
	}
}

func TestInsertSortedPutsEqualsFirst(t *testing.T) {
	var s []string
	for _, x := range []string{"b1", "a1", "b2", "a2"} {
		s = InsertSorted(s, x, func(a, b string) int { return int(a[0]) - int(b[0]) })
	}
	if want := []string{"a2", "a1", "b2", "b1"}; !slices.Equal(s, want) {
		t.Errorf("inserted %q", s)
	}
}
