package server

import (
	"bytes"
	"testing"
)

func TestSelfCheck(t *testing.T) {
	if err := SelfCheck(); err != nil {
		t.Fatal(err)
	}
	defer func(was []byte) { selfCheckCIB = was }(selfCheckCIB)
	selfCheckCIB = bytes.ReplaceAll(selfCheckCIB, []byte(`in_ccm="false" crmd="offline" join="down"`), []byte(`in_ccm="true" crmd="online" join="member"`))
	if SelfCheck() == nil {
		t.Error("nothing is lost, and the self-check does not notice")
	}
}
