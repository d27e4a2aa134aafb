package crmsimulate

import "io"

// streams keeps standard output and error in the order in which they leave the
// reference: what is printed waits for the end of the next item of a list, so
// that an error comes before a title that nothing was printed under yet.
type streams struct {
	out, err io.Writer
	wait     []byte
	ready    int // what may go out, from the beginning of wait
	failed   error
}

// enough is how much may be ready before it goes out.
const enough = 1 << 15

// Write is standard output.
func (s *streams) Write(p []byte) (int, error) {
	s.wait = append(s.wait, p...)
	return len(p), nil
}

// item ends an item of a list.
func (s *streams) item() {
	if s.ready = len(s.wait); s.ready >= enough {
		s.flush()
	}
}

// flush writes what is ready. An error is kept for close.
func (s *streams) flush() {
	if s.ready == 0 || s.failed != nil {
		return
	}
	_, s.failed = s.out.Write(s.wait[:s.ready])
	s.wait = append(s.wait[:0], s.wait[s.ready:]...)
	s.ready = 0
}

// close writes what is left; it returns the first error of all writing.
func (s *streams) close() error {
	s.ready = len(s.wait)
	s.flush()
	return s.failed
}

// errStream is standard error.
type errStream struct{ s *streams }

// Write is standard error.
func (e errStream) Write(p []byte) (int, error) {
	e.s.flush()
	return e.s.err.Write(p)
}
