package quorumd

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"linuxha/heartbeatd/hacf"
	"linuxha/heartbeatd/hamsg"
	"linuxha/heartbeatd/quorum"
)

func keys(t *testing.T, text string) *hamsg.Keys {
	t.Helper()
	k, _, err := hacf.ParseKeys("authkeys", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestAnswers(t *testing.T) {
	good := keys(t, "auth 1\n1 sha256 k\n")
	var log bytes.Buffer
	now := time.Unix(1000, 0)
	s := &server{keys: good, arbiter: quorum.NewArbiter(0), log: &log, settle: time.Second, began: now, challenges: map[string]string{}, verdicts: map[string]quorum.Verdict{}}
	question := quorum.Ask{Cluster: "c", Node: "a", View: "1/a", Members: []string{"a", "b"}, Number: 1, Lease: 2 * time.Second}
	packet := func(q quorum.Ask, k *hamsg.Keys) []byte {
		p, err := hamsg.Encode(q.Message(), k, hamsg.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if _, ok := s.answer(packet(question, keys(t, "auth 1\n1 sha256 guess\n")), now); ok {
		t.Error("answered a stranger")
	}
	if _, ok := s.answer([]byte("hello"), now); ok {
		t.Error("answered nonsense")
	}
	first, ok := s.answer(packet(question, good), now)
	if !ok || first.Verdict != quorum.Unproven || first.Challenge == "" {
		t.Fatalf("%+v %v", first, ok)
	}
	question.Challenge = first.Challenge
	early := packet(question, good)
	second, _ := s.answer(early, now)
	if second.Verdict != quorum.Wait {
		t.Errorf("just started: %+v", second)
	}
	now = now.Add(2 * time.Second)
	question.Challenge = second.Challenge
	right := packet(question, good)
	third, _ := s.answer(right, now)
	if third.Verdict != quorum.Granted {
		t.Errorf("%+v", third)
	}
	if again, _ := s.answer(right, now.Add(time.Hour)); again.Verdict != quorum.Unproven {
		t.Errorf("a recorded question: %+v", again)
	}
	if !strings.Contains(log.String(), "c/a view 1/a of [a b]: granted") {
		t.Errorf("%s", &log)
	}
}

func TestMistakes(t *testing.T) {
	t.Setenv("HA_ROOT", t.TempDir())
	file := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(file, []byte("auth 1\n1 sha1 x\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		args string
		code int
		want string
	}{
		{"-x", 2, "usage:"},
		{"-l", 2, "usage:"},
		{"-g soon", 2, "usage:"},
		{"-s", 1, "stopped"},
		{"-k", 0, ""},
		{"-f -a " + file, 6, "chmod 600"},
		{"-f", 6, "Cannot open keyfile"},
	} {
		var out bytes.Buffer
		if code := Run(t.Context(), "ha_quorumd", strings.Fields(tc.args), nil, &out, &out); code != tc.code || !strings.Contains(out.String(), tc.want) {
			t.Errorf("%q: %d %q", tc.args, code, &out)
		}
	}
}
