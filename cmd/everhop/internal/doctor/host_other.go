//go:build !darwin && !linux

package doctor

import "errors"

var errUnknown = errors.New("not known on this system")

func fileLimit() (uint64, error)    { return 0, errUnknown }
func space(string) (uint64, error)  { return 0, errUnknown }
func locked(string) (holder string) { return "" }
