package brokertest

import (
	"bytes"
	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"
	"hash"
)

// saltLength is how much of a password's hash in RabbitMQ's definitions is salt. It comes first.
const saltLength = 4

// hashed tells whether a password has that hash.
func hashed(algorithm string, want []byte) func(password string) bool {
	return func(password string) bool {
		if len(want) < saltLength {
			return false
		}
		var sum hash.Hash
		switch algorithm {
		case "rabbit_password_hashing_sha512":
			sum = sha512.New()
		case "rabbit_password_hashing_md5":
			sum = md5.New()
		default:
			sum = sha256.New()
		}
		sum.Write(want[:saltLength])
		sum.Write([]byte(password))
		return bytes.Equal(sum.Sum(nil), want[saltLength:])
	}
}

// isPassword tells whether a user is there and has the password.
func (s *Server) isPassword(user, password string) bool {
	expected, known := s.users[user]
	if matches := s.hashes[user]; known && matches != nil {
		return matches(password)
	}
	return known && password == expected
}
