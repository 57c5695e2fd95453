// Package systemd tells systemd how consumers are (sd_notify), for a unit with Type=notify:
//
//	READY=1      once everything is consumed for the first time
//	STATUS=      the state in words, which systemctl status shows
//	WATCHDOG=1   as long as every consumer is alive, if the unit has WatchdogSec
//	STOPPING=1   when the consumers stop
//
// The watchdog is fed for the supervisors of the consumers, not for the process: it is not fed when one of them has not
// turned for [consumer.StuckAfter], nor when a stop hangs. systemd restarts the process after that and WatchdogSec. An
// outage of the broker, however long, is no reason for that.
//
// A unit should have TimeoutStartSec=infinity: a broker that is away when the machine starts is waited for. See
// cmd/everhop/contrib/systemd.
//
//	stop, err := systemd.Start(c)
//	if err != nil {
//		log.Print(err) // it runs all the same
//	}
//	defer stop()
//	return c.Run(ctx)
package systemd
