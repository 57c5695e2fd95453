package journal

import "hash/crc32"

// chain checks that each record is what was written after the one before it.
type chain struct {
	loose  bool // records may come without a checksum, until one has it
	begins bool // the next record is the first of a file
	known  bool // sum is that of the record before
	sum    uint32
	prev   uint32 // what the newest snapshot continued from
}

const reasonMissing = "records are missing before this one, or others were there"

// check reports whether the line has a checksum, and what is wrong, if anything.
func (c *chain) check(line []byte) (sealed bool, reason string) {
	body, sum, ok := unseal(line)
	if !ok {
		if c.loose && !c.known {
			return false, ""
		}
		return false, "the line is no record with a checksum"
	}
	before, isSnapshot := previous(body)
	switch {
	case isSnapshot && c.known && before != c.sum:
		return true, reasonMissing
	case isSnapshot:
		c.sum, c.prev, c.known = before, before, true
	case c.begins:
		return true, "the file does not begin with a snapshot"
	}
	if c.known && crc32.Update(c.sum, castagnoli, body) != sum {
		return true, "the checksum does not match: the line was changed, or a line before it was changed, removed or moved"
	}
	c.begins, c.known, c.sum = false, true, sum
	return true, ""
}
