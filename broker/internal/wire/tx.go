package wire

// TxSelect makes the channel transactional. From the client.
type TxSelect struct{}

// TxSelectOK answers [TxSelect].
type TxSelectOK struct{}

// TxCommit ends the transaction and keeps it. From the client.
type TxCommit struct{}

// TxCommitOK answers [TxCommit].
type TxCommitOK struct{}

// TxRollback ends the transaction and drops it. From the client.
type TxRollback struct{}

// TxRollbackOK answers [TxRollback].
type TxRollbackOK struct{}

func (*TxSelect) spec() spec     { return spec{90, 10, "tx.select"} }
func (*TxSelectOK) spec() spec   { return spec{90, 11, "tx.select-ok"} }
func (*TxCommit) spec() spec     { return spec{90, 20, "tx.commit"} }
func (*TxCommitOK) spec() spec   { return spec{90, 21, "tx.commit-ok"} }
func (*TxRollback) spec() spec   { return spec{90, 30, "tx.rollback"} }
func (*TxRollbackOK) spec() spec { return spec{90, 31, "tx.rollback-ok"} }
