package identity

import "crypto/sha256"

// Cheapen makes hashes cost nothing, so that tests of rules run fast.
func (s *Service) Cheapen() {
	s.pool.derive = func(password, salt []byte, _ cost) []byte {
		sum := sha256.Sum256(append(salt[:len(salt):len(salt)], password...))
		return sum[:]
	}
}

// Dear is the reverse of Cheapen: the hashes of the product.
func (s *Service) Dear() { s.pool.derive = newPool().derive }

// HashCost tells the work of one hash: memory in KiB and passes.
func HashCost() (memory, passes uint32) { return current.memory, current.passes }

// OldCost makes the hashes from now on cheaper ones than those that sign-ins
// ask for, and returns what puts that right.
func OldCost() (restore func()) {
	now := current
	current.passes = 1
	return func() { current = now }
}

// Costs returns a function that counts the hashes computed since.
func (s *Service) Costs() func() int {
	derive := s.pool.derive
	n := make(chan int, 1)
	n <- 0
	s.pool.derive = func(password, salt []byte, c cost) []byte {
		n <- <-n + 1
		return derive(password, salt, c)
	}
	return func() int { v := <-n; n <- v; return v }
}

// Stall makes every hash wait for release and tells how many are at work at
// most.
func (s *Service) Stall() (entered <-chan struct{}, release chan<- struct{}) {
	in, out := make(chan struct{}, 1000), make(chan struct{})
	s.pool.derive = func([]byte, []byte, cost) []byte {
		in <- struct{}{}
		<-out
		return make([]byte, keySize)
	}
	return in, out
}

// Waiting is how many callers wait for the pool or are in it.
func (s *Service) Waiting() int64 { return s.pool.waiting.Load() }

// PoolSize and QueueSize are the pool's bounds.
const PoolSize, QueueSize = poolSlots, maxWaiting
