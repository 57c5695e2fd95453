package journal

import "hash/crc32"

// chain checks that each record is what was written after the one before it.
type chain struct {
	begins bool // the next record is the first of a file
	known  bool // sum is that of the record before
	sum    uint32
	prev   uint32 // what the newest snapshot continued from
}

const reasonMissing = "records are missing before this one, or others were there"

// check says what is wrong with the line, if anything.
func (c *chain) check(line []byte) (reason string) {
	body, sum, ok := unseal(line)
	if !ok {
		return "the line is no record with a checksum"
	}
	before, isSnapshot := previous(body)
	switch {
	case isSnapshot && c.known && before != c.sum:
		return reasonMissing
	case isSnapshot:
		c.sum, c.prev, c.known = before, before, true
	case c.begins:
		return "the file does not begin with a snapshot"
	}
	if c.known && crc32.Update(c.sum, castagnoli, body) != sum {
		return "the checksum does not match: the line was changed, or a line before it was changed, removed or moved"
	}
	c.begins, c.known, c.sum = false, true, sum
	return ""
}
