package wire

// registry lists every method that can be parsed.
var registry = []Method{
	new(ConnectionStart), new(ConnectionStartOK),
	new(ConnectionSecure), new(ConnectionSecureOK),
	new(ConnectionTune), new(ConnectionTuneOK),
	new(ConnectionOpen), new(ConnectionOpenOK),
	new(ConnectionClose), new(ConnectionCloseOK),
	new(ConnectionBlocked), new(ConnectionUnblocked),
	new(ConnectionUpdateSecret), new(ConnectionUpdateSecretOK),

	new(ChannelOpen), new(ChannelOpenOK),
	new(ChannelFlow), new(ChannelFlowOK),
	new(ChannelClose), new(ChannelCloseOK),

	new(AccessRequest), new(AccessRequestOK),

	new(ExchangeDeclare), new(ExchangeDeclareOK),
	new(ExchangeDelete), new(ExchangeDeleteOK),
	new(ExchangeBind), new(ExchangeBindOK),
	new(ExchangeUnbind), new(ExchangeUnbindOK),

	new(QueueDeclare), new(QueueDeclareOK),
	new(QueueBind), new(QueueBindOK),
	new(QueueUnbind), new(QueueUnbindOK),
	new(QueuePurge), new(QueuePurgeOK),
	new(QueueDelete), new(QueueDeleteOK),

	new(BasicQos), new(BasicQosOK),
	new(BasicConsume), new(BasicConsumeOK),
	new(BasicCancel), new(BasicCancelOK),
	new(BasicPublish), new(BasicReturn), new(BasicDeliver),
	new(BasicGet), new(BasicGetOK), new(BasicGetEmpty),
	new(BasicAck), new(BasicReject), new(BasicNack),
	new(BasicRecoverAsync), new(BasicRecover), new(BasicRecoverOK),

	new(ConfirmSelect), new(ConfirmSelectOK),

	new(TxSelect), new(TxSelectOK),
	new(TxCommit), new(TxCommitOK),
	new(TxRollback), new(TxRollbackOK),
}

// Names are the names of all methods in the registry.
func Names() []string {
	names := make([]string, len(registry))
	for i, m := range registry {
		names[i] = Name(m)
	}
	return names
}
