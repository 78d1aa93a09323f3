BEGIN TRANSACTION;
CREATE TABLE account (
	did TEXT NOT NULL, 
	handle TEXT NOT NULL, 
	pds_url TEXT NOT NULL, 
	display_name TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	updated_at DATETIME NOT NULL, 
	leaving_since DATETIME, 
	CONSTRAINT pk_account PRIMARY KEY (did)
);
INSERT INTO "account" VALUES('did:plc:alice','alice.test','http://pds.test','alice.test','2026-11-27 18:32:35.830762','2026-11-27 18:32:35.830762',NULL);
INSERT INTO "account" VALUES('did:plc:bob','bob.test','http://pds.test','bob.test','2026-11-27 18:32:35.832671','2026-11-27 18:32:35.832671',NULL);
CREATE TABLE adoption (
	did TEXT NOT NULL, 
	actor TEXT NOT NULL, 
	via TEXT NOT NULL, 
	request_id TEXT NOT NULL, 
	requested_at DATETIME NOT NULL, 
	not_before DATETIME NOT NULL, 
	ended_at DATETIME, 
	attempts INTEGER DEFAULT 0 NOT NULL, 
	found INTEGER DEFAULT 0 NOT NULL, 
	known INTEGER DEFAULT 0 NOT NULL, 
	adopted INTEGER DEFAULT 0 NOT NULL, 
	refused INTEGER DEFAULT 0 NOT NULL, 
	problems JSON NOT NULL, 
	problem TEXT, 
	lease_owner TEXT, 
	lease_until DATETIME NOT NULL, 
	lease_epoch INTEGER DEFAULT 0 NOT NULL, 
	CONSTRAINT pk_adoption PRIMARY KEY (did)
);
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0005');
CREATE TABLE blob_job (
	did TEXT NOT NULL, 
	track_id INTEGER NOT NULL, 
	audio_cid TEXT NOT NULL, 
	requested BOOLEAN NOT NULL, 
	again BOOLEAN DEFAULT 0 NOT NULL, 
	backfill BOOLEAN DEFAULT 0 NOT NULL, 
	attempts INTEGER DEFAULT 0 NOT NULL, 
	not_before DATETIME DEFAULT '1970-01-01 00:00:00.000000' NOT NULL, 
	last_error TEXT, 
	lease_owner TEXT, 
	lease_until DATETIME DEFAULT '1970-01-01 00:00:00.000000' NOT NULL, 
	lease_epoch INTEGER DEFAULT 0 NOT NULL, 
	CONSTRAINT pk_blob_job PRIMARY KEY (did, track_id)
);
CREATE TABLE blob_job_scratch (
	did TEXT NOT NULL, 
	track_id INTEGER NOT NULL, 
	audio_cid TEXT NOT NULL, 
	requested BOOLEAN NOT NULL, 
	CONSTRAINT pk_blob_job_scratch PRIMARY KEY (did, track_id)
);
CREATE TABLE credential (
	token_hash TEXT NOT NULL, 
	id TEXT NOT NULL, 
	did TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	name TEXT NOT NULL, 
	scope TEXT NOT NULL, 
	created_at DATETIME NOT NULL, 
	expires_at DATETIME, 
	last_used_at DATETIME, 
	revoked_at DATETIME, 
	CONSTRAINT pk_credential PRIMARY KEY (token_hash), 
	CONSTRAINT uq_credential_id UNIQUE (id)
);
INSERT INTO "credential" VALUES('e374d5250dc49b93904e51421e6128a6c01c55c2b5dc9b4ca875e0055b68cdbb','c33b2ba82bb8c0cf','did:plc:alice','api','rehearsal','write','2026-11-27 18:32:35.838016',NULL,'2026-11-27 18:32:35.927144',NULL);
CREATE TABLE delivery_attempt (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	did TEXT NOT NULL, 
	collection TEXT NOT NULL, 
	rkey TEXT NOT NULL, 
	gen INTEGER NOT NULL, 
	op TEXT NOT NULL, 
	request_cid TEXT, 
	swap_cid TEXT, 
	epoch INTEGER NOT NULL, 
	started_at DATETIME NOT NULL, 
	ended_at DATETIME, 
	outcome TEXT, 
	status INTEGER, 
	error TEXT, 
	rev TEXT
);
INSERT INTO "delivery_attempt" VALUES(1,'did:plc:alice','fm.plyr.track','3n32ltnlh6222',1,'put','bafyreibgnoy22cvkvi7tqpx7w4c62eftp5eoipnwuth5tds5xnce5iifrm',NULL,1,'2026-11-27 18:32:35.154509','2026-11-27 18:32:35.178833','done',200,NULL,'3n3ct6eu3z722');
INSERT INTO "delivery_attempt" VALUES(2,'did:plc:alice','fm.plyr.track','3n32ltojxq222',2,'put','bafyreihybubrejzfrt7e2meof5oxdesaziizesljeitycvdhhfj7urkiaq',NULL,1,'2026-11-27 18:32:35.200004','2026-11-27 18:32:35.211805','done',200,NULL,'3n3ct6evbfo22');
INSERT INTO "delivery_attempt" VALUES(3,'did:plc:alice','fm.plyr.track','3n32ltpiic222',3,'put','bafyreigthz2y7o7xycmluxvtx4qey373rsv34uiftcak4nhc7l5wfj3epm',NULL,1,'2026-11-27 18:32:35.238756','2026-11-27 18:32:35.247339','done',200,NULL,'3n3ct6ewii522');
INSERT INTO "delivery_attempt" VALUES(4,'did:plc:alice','fm.plyr.track','3n32ltnlh6222',5,'put','bafyreihlp74huebvs2tgnmj5cmtugskj7i6rwse3v5nvtb53ui6duz6nd4','bafyreibgnoy22cvkvi7tqpx7w4c62eftp5eoipnwuth5tds5xnce5iifrm',2,'2026-11-27 18:32:40.376875','2026-11-27 18:32:40.403167','done',200,NULL,'3n3ct6f33kx22');
INSERT INTO "delivery_attempt" VALUES(5,'did:plc:alice','fm.plyr.track','3n32ltojxq222',6,'put','bafyreidktfnpiinbwuyumnkdkzdae6z6aoxaltrsvw4j3dx5bmuhox54u4','bafyreihybubrejzfrt7e2meof5oxdesaziizesljeitycvdhhfj7urkiaq',2,'2026-11-27 18:32:40.431912','2026-11-27 18:32:40.454402','done',200,NULL,'3n3ct6f4sc622');
INSERT INTO "delivery_attempt" VALUES(6,'did:plc:alice','fm.plyr.track','3n32ltpiic222',7,'delete',NULL,'bafyreigthz2y7o7xycmluxvtx4qey373rsv34uiftcak4nhc7l5wfj3epm',3,'2026-11-27 18:32:45.586819','2026-11-27 18:32:45.617649','done',200,NULL,'3n3ct6fbhqp22');
INSERT INTO "delivery_attempt" VALUES(7,'did:plc:alice','fm.plyr.track','3n32ltnlh6222',9,'put','bafyreigdqplb7uoywqmskr4y7tzrph36bdqso6ij6schq5dgjajv3dsaye','bafyreihlp74huebvs2tgnmj5cmtugskj7i6rwse3v5nvtb53ui6duz6nd4',4,'2026-11-27 18:32:45.782917','2026-11-27 18:32:45.802097','not_sent',NULL,'ConnectError',NULL);
CREATE TABLE event_tracking (
	application_name TEXT NOT NULL, 
	notification_id INTEGER NOT NULL, 
	CONSTRAINT pk_event_tracking PRIMARY KEY (application_name)
);
CREATE TABLE firehose_cursor (
	host TEXT NOT NULL, 
	seq INTEGER, 
	heard_at DATETIME, 
	lease_owner TEXT, 
	lease_until DATETIME DEFAULT '1970-01-01 00:00:00.000000' NOT NULL, 
	CONSTRAINT pk_firehose_cursor PRIMARY KEY (host)
);
CREATE TABLE history (
	position INTEGER NOT NULL, 
	did TEXT NOT NULL, 
	track_id INTEGER, 
	version INTEGER NOT NULL, 
	type TEXT NOT NULL, 
	topic TEXT NOT NULL, 
	actor TEXT NOT NULL, 
	via TEXT NOT NULL, 
	request_id TEXT NOT NULL, 
	at DATETIME NOT NULL, 
	touches_record BOOLEAN NOT NULL, 
	changes JSON NOT NULL, 
	CONSTRAINT pk_history PRIMARY KEY (position)
);
INSERT INTO "history" VALUES(1,'did:plc:alice',1,1,'Created','track.registered.v1','artist','test','test','2026-11-27 18:32:34.887587',1,'[{"field": "title", "before": null, "after": "Erste Aufnahme \u2013 \u00e4"}, {"field": "artist", "before": null, "after": "Alice"}, {"field": "album", "before": null, "after": "Tape"}, {"field": "features", "before": null, "after": [{"did": "did:plc:carol", "handle": "carol.test"}]}, {"field": "tags", "before": null, "after": ["a", "b"]}, {"field": "description", "before": null, "after": "In one go."}, {"field": "unlisted", "before": null, "after": false}, {"field": "self_labels", "before": null, "after": []}, {"field": "audio", "before": null, "after": {"cid": "bafkreib6ubykhnnbsu4yfvlnlsmbif4im23oh5pxb6kb5m2uvn5xtzbeku", "size": 3500, "mime": "audio/mpeg", "file_type": "mp3", "duration": 3}}, {"field": "blob_requested", "before": null, "after": false}, {"field": "created_at", "before": null, "after": "2026-11-24T12:00:01.123Z"}, {"field": "collection", "before": null, "after": "fm.plyr.track"}, {"field": "rkey", "before": null, "after": "3n32ltnlh6222"}]');
INSERT INTO "history" VALUES(2,'did:plc:alice',2,1,'Created','track.registered.v1','artist','test','test','2026-11-27 18:32:34.922430',1,'[{"field": "title", "before": null, "after": "Track 2"}, {"field": "artist", "before": null, "after": "Alice"}, {"field": "features", "before": null, "after": []}, {"field": "tags", "before": null, "after": []}, {"field": "unlisted", "before": null, "after": false}, {"field": "self_labels", "before": null, "after": []}, {"field": "audio", "before": null, "after": {"cid": "bafkreidostq5rotskrpw4ykslruyk6mhvwhv56szp3oartmy27l7owe7zu", "size": 3500, "mime": "audio/mpeg", "file_type": "mp3", "duration": 3}}, {"field": "blob_requested", "before": null, "after": false}, {"field": "created_at", "before": null, "after": "2026-11-24T12:00:02.123Z"}, {"field": "collection", "before": null, "after": "fm.plyr.track"}, {"field": "rkey", "before": null, "after": "3n32ltojxq222"}]');
INSERT INTO "history" VALUES(3,'did:plc:alice',3,1,'Created','track.registered.v1','artist','test','test','2026-11-27 18:32:34.934508',1,'[{"field": "title", "before": null, "after": "Track 3"}, {"field": "artist", "before": null, "after": "Alice"}, {"field": "features", "before": null, "after": []}, {"field": "tags", "before": null, "after": []}, {"field": "unlisted", "before": null, "after": false}, {"field": "self_labels", "before": null, "after": []}, {"field": "audio", "before": null, "after": {"cid": "bafkreihuijz4qnbin4p7clrg2cp636oig7qxszwwjtrkfk3xkuln34nbge", "size": 3500, "mime": "audio/mpeg", "file_type": "mp3", "duration": 3}}, {"field": "blob_requested", "before": null, "after": false}, {"field": "created_at", "before": null, "after": "2026-11-24T12:00:03.123Z"}, {"field": "collection", "before": null, "after": "fm.plyr.track"}, {"field": "rkey", "before": null, "after": "3n32ltpiic222"}]');
INSERT INTO "history" VALUES(4,'did:plc:alice',1,2,'MetadataUpdated','track.metadata_updated.v1','artist','test','test','2026-11-27 18:32:35.287637',1,'[{"field": "title", "before": "Erste Aufnahme \u2013 \u00e4", "after": "Second Thoughts"}, {"field": "tags", "before": ["a", "b"], "after": []}]');
INSERT INTO "history" VALUES(5,'did:plc:alice',1,3,'ArtworkReplaced','track.artwork_replaced.v1','artist','test','test','2026-11-27 18:32:35.300628',1,'[{"field": "artwork", "before": null, "after": {"cid": "bafkreicover2", "mime": "image/png", "size": 502, "thumbnail_cid": "bafkreithumb2"}}]');
INSERT INTO "history" VALUES(6,'did:plc:alice',2,2,'SupportGateSet','track.support_gate_set.v1','artist','test','test','2026-11-27 18:32:35.326980',1,'[{"field": "support_gate", "before": null, "after": {"type": "any"}}]');
INSERT INTO "history" VALUES(7,'did:plc:alice',3,2,'Deleted','track.deleted.v1','artist','test','test','2026-11-27 18:32:40.528578',1,'[{"field": "deleted_at", "before": null, "after": "2026-11-27T18:32:40.528530+00:00"}]');
INSERT INTO "history" VALUES(8,'did:plc:bob',4,1,'Adopted','track.adopted.v1','artist','test','test','2026-11-27 18:32:45.661934',0,'[{"field": "title", "before": null, "after": "Track 4"}, {"field": "artist", "before": null, "after": "Alice"}, {"field": "features", "before": null, "after": []}, {"field": "tags", "before": null, "after": []}, {"field": "unlisted", "before": null, "after": false}, {"field": "self_labels", "before": null, "after": []}, {"field": "audio", "before": null, "after": {"cid": "bafkreiaudio4", "size": 1004, "mime": "audio/mpeg", "file_type": "mp3", "duration": 180}}, {"field": "blob_requested", "before": null, "after": false}, {"field": "created_at", "before": null, "after": "2026-11-24T12:00:04.123Z"}, {"field": "collection", "before": null, "after": "app.relay.track"}, {"field": "rkey", "before": null, "after": "3n32ltqgyu222"}]');
INSERT INTO "history" VALUES(9,'did:plc:alice',1,4,'MetadataUpdated','track.metadata_updated.v1','artist','test','test','2026-11-27 18:32:45.703688',1,'[{"field": "title", "before": "Second Thoughts", "after": "Not on the PDS yet"}]');
CREATE TABLE history_scratch (
	position INTEGER NOT NULL, 
	did TEXT NOT NULL, 
	track_id INTEGER, 
	version INTEGER NOT NULL, 
	type TEXT NOT NULL, 
	topic TEXT NOT NULL, 
	actor TEXT NOT NULL, 
	via TEXT NOT NULL, 
	request_id TEXT NOT NULL, 
	at DATETIME NOT NULL, 
	touches_record BOOLEAN NOT NULL, 
	changes JSON NOT NULL, 
	CONSTRAINT pk_history_scratch PRIMARY KEY (position)
);
CREATE TABLE idempotency (
	did TEXT NOT NULL, 
	method TEXT NOT NULL, 
	route TEXT NOT NULL, 
	"key" TEXT NOT NULL, 
	digest TEXT NOT NULL, 
	status INTEGER NOT NULL, 
	body JSON NOT NULL, 
	headers JSON NOT NULL, 
	created_at DATETIME NOT NULL, 
	CONSTRAINT pk_idempotency PRIMARY KEY (did, method, route, "key")
);
CREATE TABLE job_lease (
	name TEXT NOT NULL, 
	owner TEXT NOT NULL, 
	lease_until DATETIME NOT NULL, 
	CONSTRAINT pk_job_lease PRIMARY KEY (name)
);
CREATE TABLE log_incarnation (
	id INTEGER NOT NULL, 
	identity TEXT NOT NULL, 
	issued_up_to INTEGER DEFAULT 0 NOT NULL, 
	restored_because TEXT, 
	noticed_at DATETIME, 
	recovered_at DATETIME, 
	CONSTRAINT pk_log_incarnation PRIMARY KEY (id)
);
CREATE TABLE media (
	"key" TEXT NOT NULL, 
	cid TEXT NOT NULL, 
	state TEXT NOT NULL, 
	mime TEXT NOT NULL, 
	size BIGINT NOT NULL, 
	touched_at DATETIME NOT NULL, 
	reason TEXT, 
	CONSTRAINT pk_media PRIMARY KEY ("key"), 
	CONSTRAINT ck_media_state CHECK (state in ('writing', 'live', 'deleting'))
);
INSERT INTO "media" VALUES('bafkreib6ubykhnnbsu4yfvlnlsmbif4im23oh5pxb6kb5m2uvn5xtzbeku.0567c40a1b5b5581','bafkreib6ubykhnnbsu4yfvlnlsmbif4im23oh5pxb6kb5m2uvn5xtzbeku','live','audio/mpeg',3500,'2026-11-27 18:32:34.838282',NULL);
INSERT INTO "media" VALUES('bafkreidostq5rotskrpw4ykslruyk6mhvwhv56szp3oartmy27l7owe7zu.511a60ed3a779ef1','bafkreidostq5rotskrpw4ykslruyk6mhvwhv56szp3oartmy27l7owe7zu','live','audio/mpeg',3500,'2026-11-27 18:32:34.854541',NULL);
INSERT INTO "media" VALUES('bafkreihuijz4qnbin4p7clrg2cp636oig7qxszwwjtrkfk3xkuln34nbge.9bafd034b02c444b','bafkreihuijz4qnbin4p7clrg2cp636oig7qxszwwjtrkfk3xkuln34nbge','live','audio/mpeg',3500,'2026-11-27 18:32:34.874598',NULL);
CREATE TABLE media_references (
	track_id INTEGER NOT NULL, 
	cid TEXT NOT NULL, 
	did TEXT NOT NULL, 
	released_at DATETIME, 
	CONSTRAINT pk_media_references PRIMARY KEY (track_id, cid)
);
INSERT INTO "media_references" VALUES(1,'bafkreib6ubykhnnbsu4yfvlnlsmbif4im23oh5pxb6kb5m2uvn5xtzbeku','did:plc:alice',NULL);
INSERT INTO "media_references" VALUES(2,'bafkreidostq5rotskrpw4ykslruyk6mhvwhv56szp3oartmy27l7owe7zu','did:plc:alice',NULL);
INSERT INTO "media_references" VALUES(3,'bafkreihuijz4qnbin4p7clrg2cp636oig7qxszwwjtrkfk3xkuln34nbge','did:plc:alice','2026-11-27 18:32:40.528578');
INSERT INTO "media_references" VALUES(1,'bafkreithumb2','did:plc:alice',NULL);
INSERT INTO "media_references" VALUES(1,'bafkreicover2','did:plc:alice',NULL);
INSERT INTO "media_references" VALUES(4,'bafkreiaudio4','did:plc:bob',NULL);
CREATE TABLE media_references_scratch (
	track_id INTEGER NOT NULL, 
	cid TEXT NOT NULL, 
	did TEXT NOT NULL, 
	released_at DATETIME, 
	CONSTRAINT pk_media_references_scratch PRIMARY KEY (track_id, cid)
);
CREATE TABLE mirror_lane (
	did TEXT NOT NULL, 
	host TEXT NOT NULL, 
	state TEXT NOT NULL, 
	paused BOOLEAN DEFAULT 0 NOT NULL, 
	due_at DATETIME DEFAULT '9999-01-01 00:00:00.000000' NOT NULL, 
	backfill_at DATETIME DEFAULT '9999-01-01 00:00:00.000000' NOT NULL, 
	not_before DATETIME DEFAULT '1970-01-01 00:00:00.000000' NOT NULL, 
	paced_until DATETIME DEFAULT '1970-01-01 00:00:00.000000' NOT NULL, 
	backfill_after DATETIME DEFAULT '1970-01-01 00:00:00.000000' NOT NULL, 
	failures INTEGER DEFAULT 0 NOT NULL, 
	hour_limit INTEGER, 
	hour_left INTEGER, 
	hour_reset DATETIME, 
	day_limit INTEGER, 
	day_left INTEGER, 
	day_reset DATETIME, 
	probe_at DATETIME DEFAULT '9999-01-01 00:00:00.000000' NOT NULL, 
	probes INTEGER DEFAULT 0 NOT NULL, 
	missing_since DATETIME DEFAULT '9999-01-01 00:00:00.000000' NOT NULL, 
	lease_owner TEXT, 
	lease_until DATETIME DEFAULT '1970-01-01 00:00:00.000000' NOT NULL, 
	lease_epoch INTEGER DEFAULT 0 NOT NULL, 
	is_backfill BOOLEAN DEFAULT 0 NOT NULL, last_upload_at DATETIME DEFAULT '1970-01-01 00:00:00.000000' NOT NULL, 
	CONSTRAINT pk_mirror_lane PRIMARY KEY (did)
);
INSERT INTO "mirror_lane" VALUES('did:plc:alice','http://pds.test','ready',0,'2026-11-27 18:32:35.839877','9999-01-01 00:00:00.000000','1970-01-01 00:00:00.000000','1970-01-01 00:00:00.000000','1970-01-01 00:00:00.000000',0,NULL,NULL,NULL,NULL,NULL,NULL,'9999-01-01 00:00:00.000000',0,'9999-01-01 00:00:00.000000',NULL,'1970-01-01 00:00:00.000000',4,0,'1970-01-01 00:00:00.000000');
INSERT INTO "mirror_lane" VALUES('did:plc:bob','','auth_required',0,'2026-11-27 18:32:45.661934','9999-01-01 00:00:00.000000','1970-01-01 00:00:00.000000','1970-01-01 00:00:00.000000','1970-01-01 00:00:00.000000',0,NULL,NULL,NULL,NULL,NULL,NULL,'9999-01-01 00:00:00.000000',0,'9999-01-01 00:00:00.000000',NULL,'1970-01-01 00:00:00.000000',0,0,'1970-01-01 00:00:00.000000');
CREATE TABLE mirror_target (
	did TEXT NOT NULL, 
	collection TEXT NOT NULL, 
	rkey TEXT NOT NULL, 
	track_id INTEGER NOT NULL, 
	desired_gen INTEGER NOT NULL, 
	desired_op TEXT NOT NULL, 
	detached BOOLEAN NOT NULL, 
	former BOOLEAN DEFAULT 0 NOT NULL, 
	acked_gen INTEGER DEFAULT 0 NOT NULL, 
	acked_at DATETIME, 
	observed_cid TEXT, 
	observed_body BLOB, 
	ever_sent BOOLEAN DEFAULT 0 NOT NULL, 
	state TEXT DEFAULT 'idle' NOT NULL, 
	reason TEXT, 
	attempts INTEGER DEFAULT 0 NOT NULL, 
	failed_gen INTEGER DEFAULT 0 NOT NULL, 
	not_before DATETIME DEFAULT '1970-01-01 00:00:00.000000' NOT NULL, 
	last_error TEXT, 
	conflict_cid TEXT, 
	conflict_body BLOB, 
	look_at DATETIME DEFAULT '9999-01-01 00:00:00.000000' NOT NULL, 
	backfill BOOLEAN DEFAULT 0 NOT NULL, 
	cleared_gen INTEGER DEFAULT 0 NOT NULL, 
	CONSTRAINT pk_mirror_target PRIMARY KEY (did, collection, rkey)
);
INSERT INTO "mirror_target" VALUES('did:plc:alice','fm.plyr.track','3n32ltnlh6222',1,9,'put',0,0,5,'2026-11-27 18:32:40.403167','bafyreihlp74huebvs2tgnmj5cmtugskj7i6rwse3v5nvtb53ui6duz6nd4',X'AC6524747970656D666D2E706C79722E747261636B65616C62756D6454617065657469746C656F5365636F6E642054686F75676874736661727469737465416C69636568617564696F55726C785B687474703A2F2F3132372E302E302E313A383030302F617564696F2F6261666B72656962367562796B686E6E627375347966766C6E6C736D62696634696D32336F6835707862366B62356D3275766E3578747A62656B752E6D7033686475726174696F6E0368666561747572657381A2636469646D6469643A706C633A6361726F6C6668616E646C656A6361726F6C2E746573746866696C6554797065636D703368696D61676555726C782B687474703A2F2F3132372E302E302E313A383030302F617274776F726B2F6261666B726569636F76657232696372656174656441747818323032362D31312D32345431323A30303A30312E3132335A6B6465736372697074696F6E6A496E206F6E6520676F2E6D6D61737465727461706547656E05',1,'backoff','backoff',1,9,'1970-01-01 00:00:00.000000','ConnectError: refused',NULL,NULL,'9999-01-01 00:00:00.000000',0,0);
INSERT INTO "mirror_target" VALUES('did:plc:alice','fm.plyr.track','3n32ltojxq222',2,6,'put',0,0,6,'2026-11-27 18:32:40.454402','bafyreidktfnpiinbwuyumnkdkzdae6z6aoxaltrsvw4j3dx5bmuhox54u4',X'A96524747970656D666D2E706C79722E747261636B657469746C6567547261636B20326661727469737465416C69636568617564696F55726C785B687474703A2F2F3132372E302E302E313A383030302F617564696F2F6261666B726569646F73747135726F74736B72707734796B736C7275796B366D68767768763536737A70336F6172746D7932376C376F7765377A752E6D7033686475726174696F6E036866696C6554797065636D7033696372656174656441747818323032362D31312D32345431323A30303A30322E3132335A6B737570706F727447617465A1647479706563616E796D6D61737465727461706547656E06',1,'idle',NULL,0,0,'1970-01-01 00:00:00.000000',NULL,NULL,NULL,'9999-01-01 00:00:00.000000',0,0);
INSERT INTO "mirror_target" VALUES('did:plc:alice','fm.plyr.track','3n32ltpiic222',3,7,'delete',0,0,7,'2026-11-27 18:32:45.617649',NULL,NULL,1,'idle',NULL,0,0,'1970-01-01 00:00:00.000000',NULL,NULL,NULL,'2026-11-27 18:33:45.609916',0,0);
INSERT INTO "mirror_target" VALUES('did:plc:bob','app.relay.track','3n32ltqgyu222',4,8,'put',0,0,0,NULL,NULL,NULL,0,'idle',NULL,0,0,'1970-01-01 00:00:00.000000',NULL,NULL,NULL,'9999-01-01 00:00:00.000000',0,0);
CREATE TABLE mirror_target_scratch (
	did TEXT NOT NULL, 
	collection TEXT NOT NULL, 
	rkey TEXT NOT NULL, 
	track_id INTEGER NOT NULL, 
	desired_gen INTEGER NOT NULL, 
	desired_op TEXT NOT NULL, 
	detached BOOLEAN NOT NULL, 
	former BOOLEAN NOT NULL, 
	CONSTRAINT pk_mirror_target_scratch PRIMARY KEY (did, collection, rkey)
);
CREATE TABLE observed_account (
	did TEXT NOT NULL, 
	CONSTRAINT pk_observed_account PRIMARY KEY (did)
);
CREATE TABLE pds_host (
	host TEXT NOT NULL, 
	max_lanes INTEGER DEFAULT 4 NOT NULL, 
	paused BOOLEAN DEFAULT 0 NOT NULL, 
	breaker TEXT DEFAULT 'closed' NOT NULL, 
	retry_at DATETIME DEFAULT '1970-01-01 00:00:00.000000' NOT NULL, 
	ramp INTEGER, 
	openings INTEGER DEFAULT 0 NOT NULL, 
	failures INTEGER DEFAULT 0 NOT NULL, 
	failing_did TEXT, 
	many_fail BOOLEAN DEFAULT 0 NOT NULL, 
	last_error TEXT, 
	paced_until DATETIME DEFAULT '1970-01-01 00:00:00.000000' NOT NULL, 
	backfill_after DATETIME DEFAULT '1970-01-01 00:00:00.000000' NOT NULL, 
	blobs_after DATETIME DEFAULT '1970-01-01 00:00:00.000000' NOT NULL, 
	budget_limit INTEGER, 
	budget_left INTEGER, 
	budget_reset DATETIME, 
	budget_seconds INTEGER, 
	blob_limit INTEGER, 
	blob_left INTEGER, 
	blob_reset DATETIME, 
	CONSTRAINT pk_pds_host PRIMARY KEY (host)
);
INSERT INTO "pds_host" VALUES('http://pds.test',4,0,'closed','1970-01-01 00:00:00.000000',NULL,0,1,'did:plc:alice',0,'ConnectError: refused','1970-01-01 00:00:00.000000','1970-01-01 00:00:00.000000','1970-01-01 00:00:00.000000',NULL,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE pds_session (
	did TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	pds_url TEXT NOT NULL, 
	sealed BLOB, 
	scope TEXT NOT NULL, 
	generation INTEGER NOT NULL, 
	status TEXT NOT NULL, 
	refresh_until DATETIME, 
	refresh_owner TEXT, 
	last_error TEXT, 
	updated_at DATETIME NOT NULL, 
	access_expires_at DATETIME, 
	CONSTRAINT pk_pds_session PRIMARY KEY (did)
);
INSERT INTO "pds_session" VALUES('did:plc:alice','app_password','http://pds.test',X'674141414141427243637A44634B526370346F426C4A3565617136375835584E6C63424E6A7551485346514673384136493132306769687A67676C7068543977556C62525942503571304F33746871657654344E79337A507A4730797A424D4330365F366E64724A48316D48797274726D564338544434746468516C534F476D4C423938594C6A6853696A4D4C4C6959496A62584477354638654F3259504A6A494C42336B514A4872753955547536584F5267504A314D3D','',1,'active',NULL,NULL,NULL,'2026-11-27 18:32:35.847176',NULL);
CREATE TABLE projection_state (
	name TEXT NOT NULL, 
	fingerprint TEXT NOT NULL, 
	CONSTRAINT pk_projection_state PRIMARY KEY (name)
);
INSERT INTO "projection_state" VALUES('tracks','9f24ff1ef2ec7d07');
INSERT INTO "projection_state" VALUES('track_tags','e20ff795081375bf');
INSERT INTO "projection_state" VALUES('history','03eca762dc5ae25c');
INSERT INTO "projection_state" VALUES('media_references','db13aafec2c84a31');
INSERT INTO "projection_state" VALUES('mirror','mirror-2');
INSERT INTO "projection_state" VALUES('public_audio','public_audio-2');
CREATE TABLE public_audio (
	track_id INTEGER NOT NULL, 
	cid TEXT NOT NULL, 
	did TEXT NOT NULL, 
	name TEXT NOT NULL, 
	mime TEXT NOT NULL, 
	wanted BOOLEAN NOT NULL, 
	CONSTRAINT pk_public_audio PRIMARY KEY (track_id, cid)
);
INSERT INTO "public_audio" VALUES(1,'bafkreib6ubykhnnbsu4yfvlnlsmbif4im23oh5pxb6kb5m2uvn5xtzbeku','did:plc:alice','bafkreib6ubykhnnbsu4yfvlnlsmbif4im23oh5pxb6kb5m2uvn5xtzbeku.mp3','audio/mpeg',1);
INSERT INTO "public_audio" VALUES(2,'bafkreidostq5rotskrpw4ykslruyk6mhvwhv56szp3oartmy27l7owe7zu','did:plc:alice','bafkreidostq5rotskrpw4ykslruyk6mhvwhv56szp3oartmy27l7owe7zu.mp3','audio/mpeg',0);
INSERT INTO "public_audio" VALUES(3,'bafkreihuijz4qnbin4p7clrg2cp636oig7qxszwwjtrkfk3xkuln34nbge','did:plc:alice','bafkreihuijz4qnbin4p7clrg2cp636oig7qxszwwjtrkfk3xkuln34nbge.mp3','audio/mpeg',0);
INSERT INTO "public_audio" VALUES(4,'bafkreiaudio4','did:plc:bob','bafkreiaudio4.mp3','audio/mpeg',1);
CREATE TABLE public_audio_scratch (
	track_id INTEGER NOT NULL, 
	cid TEXT NOT NULL, 
	did TEXT NOT NULL, 
	name TEXT NOT NULL, 
	mime TEXT NOT NULL, 
	wanted BOOLEAN NOT NULL, 
	CONSTRAINT pk_public_audio_scratch PRIMARY KEY (track_id, cid)
);
CREATE TABLE public_copy (
	name TEXT NOT NULL, 
	cid TEXT NOT NULL, 
	mime TEXT NOT NULL, 
	state TEXT DEFAULT 'absent' NOT NULL, 
	changes INTEGER DEFAULT 0 NOT NULL, 
	seen INTEGER DEFAULT 0 NOT NULL, 
	attempts INTEGER DEFAULT 0 NOT NULL, 
	not_before DATETIME DEFAULT '1970-01-01 00:00:00.000000' NOT NULL, 
	last_error TEXT, 
	lease_until DATETIME DEFAULT '1970-01-01 00:00:00.000000' NOT NULL, 
	lease_epoch INTEGER DEFAULT 0 NOT NULL, 
	CONSTRAINT pk_public_copy PRIMARY KEY (name)
);
INSERT INTO "public_copy" VALUES('bafkreib6ubykhnnbsu4yfvlnlsmbif4im23oh5pxb6kb5m2uvn5xtzbeku.mp3','bafkreib6ubykhnnbsu4yfvlnlsmbif4im23oh5pxb6kb5m2uvn5xtzbeku','audio/mpeg','absent',1,0,0,'1970-01-01 00:00:00.000000',NULL,'1970-01-01 00:00:00.000000',0);
INSERT INTO "public_copy" VALUES('bafkreidostq5rotskrpw4ykslruyk6mhvwhv56szp3oartmy27l7owe7zu.mp3','bafkreidostq5rotskrpw4ykslruyk6mhvwhv56szp3oartmy27l7owe7zu','audio/mpeg','absent',2,0,0,'1970-01-01 00:00:00.000000',NULL,'1970-01-01 00:00:00.000000',0);
INSERT INTO "public_copy" VALUES('bafkreihuijz4qnbin4p7clrg2cp636oig7qxszwwjtrkfk3xkuln34nbge.mp3','bafkreihuijz4qnbin4p7clrg2cp636oig7qxszwwjtrkfk3xkuln34nbge','audio/mpeg','absent',2,0,0,'1970-01-01 00:00:00.000000',NULL,'1970-01-01 00:00:00.000000',0);
INSERT INTO "public_copy" VALUES('bafkreiaudio4.mp3','bafkreiaudio4','audio/mpeg','absent',1,0,0,'1970-01-01 00:00:00.000000',NULL,'1970-01-01 00:00:00.000000',0);
CREATE TABLE public_hold (
	token TEXT NOT NULL, 
	name TEXT NOT NULL, 
	until DATETIME NOT NULL, 
	CONSTRAINT pk_public_hold PRIMARY KEY (token)
);
CREATE TABLE repo_scan (
	did TEXT NOT NULL, 
	rev TEXT, 
	scanned_at DATETIME DEFAULT '1970-01-01 00:00:00.000000' NOT NULL, 
	found INTEGER DEFAULT 0 NOT NULL, 
	problem TEXT, 
	heard_rev TEXT, 
	CONSTRAINT pk_repo_scan PRIMARY KEY (did)
);
CREATE TABLE running_request (
	did TEXT NOT NULL, 
	method TEXT NOT NULL, 
	route TEXT NOT NULL, 
	"key" TEXT NOT NULL, 
	run TEXT NOT NULL, 
	lease_until DATETIME NOT NULL, 
	CONSTRAINT pk_running_request PRIMARY KEY (did, method, route, "key")
);
CREATE TABLE stored_event (
	position INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	did TEXT NOT NULL, 
	originator_id TEXT NOT NULL, 
	originator_version INTEGER NOT NULL, 
	topic TEXT NOT NULL, 
	state BLOB NOT NULL, 
	actor TEXT NOT NULL, 
	via TEXT NOT NULL, 
	request_id TEXT NOT NULL, 
	recorded_at DATETIME NOT NULL, 
	CONSTRAINT uq_stored_event_originator_id UNIQUE (originator_id, originator_version)
);
INSERT INTO "stored_event" VALUES(1,'did:plc:alice','07ab1271-a8fb-53f5-b455-13d63cdd3906',1,'track.registered.v1',X'7B2274696D657374616D70223A7B225F747970655F223A226461746574696D655F69736F222C225F646174615F223A22323032362D31312D32345431323A30303A30302E3132333435362B30303A3030227D2C226F726967696E61746F725F746F706963223A22747261636B222C22646964223A226469643A706C633A616C696365222C22747261636B5F6964223A312C227469746C65223A224572737465204175666E61686D6520E2809320C3A4222C22617274697374223A22416C696365222C22617564696F223A7B225F747970655F223A22617564696F222C225F646174615F223A7B22636964223A226261666B72656962367562796B686E6E627375347966766C6E6C736D62696634696D32336F6835707862366B62356D3275766E3578747A62656B75222C2273697A65223A333530302C226D696D65223A22617564696F2F6D706567222C2266696C655F74797065223A226D7033222C226475726174696F6E223A337D7D2C22616C62756D223A2254617065222C226665617475726573223A5B7B225F747970655F223A2266656174757265222C225F646174615F223A7B22646964223A226469643A706C633A6361726F6C222C2268616E646C65223A226361726F6C2E74657374227D7D5D2C2274616773223A5B2261222C2262225D2C226465736372697074696F6E223A22496E206F6E6520676F2E222C22617274776F726B223A6E756C6C2C22737570706F72745F67617465223A6E756C6C2C22756E6C6973746564223A66616C73652C2273656C665F6C6162656C73223A5B5D2C22637265617465645F6174223A22323032362D31312D32345431323A30303A30312E3132335A222C22636F6C6C656374696F6E223A22666D2E706C79722E747261636B222C22726B6579223A22336E33326C746E6C6836323232227D','artist','test','test','2026-11-27 18:32:34.887587');
INSERT INTO "stored_event" VALUES(2,'did:plc:alice','e4c31530-0248-524b-8245-5f656335f16e',1,'track.registered.v1',X'7B2274696D657374616D70223A7B225F747970655F223A226461746574696D655F69736F222C225F646174615F223A22323032362D31312D32345431323A30303A30302E3132333435362B30303A3030227D2C226F726967696E61746F725F746F706963223A22747261636B222C22646964223A226469643A706C633A616C696365222C22747261636B5F6964223A322C227469746C65223A22547261636B2032222C22617274697374223A22416C696365222C22617564696F223A7B225F747970655F223A22617564696F222C225F646174615F223A7B22636964223A226261666B726569646F73747135726F74736B72707734796B736C7275796B366D68767768763536737A70336F6172746D7932376C376F7765377A75222C2273697A65223A333530302C226D696D65223A22617564696F2F6D706567222C2266696C655F74797065223A226D7033222C226475726174696F6E223A337D7D2C22616C62756D223A6E756C6C2C226665617475726573223A5B5D2C2274616773223A5B5D2C226465736372697074696F6E223A6E756C6C2C22617274776F726B223A6E756C6C2C22737570706F72745F67617465223A6E756C6C2C22756E6C6973746564223A66616C73652C2273656C665F6C6162656C73223A5B5D2C22637265617465645F6174223A22323032362D31312D32345431323A30303A30322E3132335A222C22636F6C6C656374696F6E223A22666D2E706C79722E747261636B222C22726B6579223A22336E33326C746F6A7871323232227D','artist','test','test','2026-11-27 18:32:34.922430');
INSERT INTO "stored_event" VALUES(3,'did:plc:alice','19ca87a5-a46f-5654-ba91-4eb800ae8118',1,'track.registered.v1',X'7B2274696D657374616D70223A7B225F747970655F223A226461746574696D655F69736F222C225F646174615F223A22323032362D31312D32345431323A30303A30302E3132333435362B30303A3030227D2C226F726967696E61746F725F746F706963223A22747261636B222C22646964223A226469643A706C633A616C696365222C22747261636B5F6964223A332C227469746C65223A22547261636B2033222C22617274697374223A22416C696365222C22617564696F223A7B225F747970655F223A22617564696F222C225F646174615F223A7B22636964223A226261666B7265696875696A7A34716E62696E347037636C72673263703633366F6967377178737A77776A74726B666B33786B756C6E33346E626765222C2273697A65223A333530302C226D696D65223A22617564696F2F6D706567222C2266696C655F74797065223A226D7033222C226475726174696F6E223A337D7D2C22616C62756D223A6E756C6C2C226665617475726573223A5B5D2C2274616773223A5B5D2C226465736372697074696F6E223A6E756C6C2C22617274776F726B223A6E756C6C2C22737570706F72745F67617465223A6E756C6C2C22756E6C6973746564223A66616C73652C2273656C665F6C6162656C73223A5B5D2C22637265617465645F6174223A22323032362D31312D32345431323A30303A30332E3132335A222C22636F6C6C656374696F6E223A22666D2E706C79722E747261636B222C22726B6579223A22336E33326C7470696963323232227D','artist','test','test','2026-11-27 18:32:34.934508');
INSERT INTO "stored_event" VALUES(4,'did:plc:alice','07ab1271-a8fb-53f5-b455-13d63cdd3906',2,'track.metadata_updated.v1',X'7B2274696D657374616D70223A7B225F747970655F223A226461746574696D655F69736F222C225F646174615F223A22323032362D31312D32375431383A33323A33352E3238373537312B30303A3030227D2C226368616E676573223A7B227469746C65223A225365636F6E642054686F7567687473222C2274616773223A5B5D7D7D','artist','test','test','2026-11-27 18:32:35.287637');
INSERT INTO "stored_event" VALUES(5,'did:plc:alice','07ab1271-a8fb-53f5-b455-13d63cdd3906',3,'track.artwork_replaced.v1',X'7B2274696D657374616D70223A7B225F747970655F223A226461746574696D655F69736F222C225F646174615F223A22323032362D31312D32375431383A33323A33352E3330303537372B30303A3030227D2C22617274776F726B223A7B225F747970655F223A22617274776F726B222C225F646174615F223A7B22636964223A226261666B726569636F76657232222C226D696D65223A22696D6167652F706E67222C2273697A65223A3530322C227468756D626E61696C5F636964223A226261666B7265697468756D6232227D7D7D','artist','test','test','2026-11-27 18:32:35.300628');
INSERT INTO "stored_event" VALUES(6,'did:plc:alice','e4c31530-0248-524b-8245-5f656335f16e',2,'track.support_gate_set.v1',X'7B2274696D657374616D70223A7B225F747970655F223A226461746574696D655F69736F222C225F646174615F223A22323032362D31312D32375431383A33323A33352E3332363932302B30303A3030227D2C2267617465223A7B225F747970655F223A22737570706F72745F67617465222C225F646174615F223A7B2274797065223A22616E79227D7D7D','artist','test','test','2026-11-27 18:32:35.326980');
INSERT INTO "stored_event" VALUES(7,'did:plc:alice','19ca87a5-a46f-5654-ba91-4eb800ae8118',2,'track.deleted.v1',X'7B2274696D657374616D70223A7B225F747970655F223A226461746574696D655F69736F222C225F646174615F223A22323032362D31312D32375431383A33323A34302E3532383533302B30303A3030227D7D','artist','test','test','2026-11-27 18:32:40.528578');
INSERT INTO "stored_event" VALUES(8,'did:plc:bob','83e1e98e-448b-55fb-9e32-c0f2283bc0ac',1,'track.adopted.v1',X'7B2274696D657374616D70223A7B225F747970655F223A226461746574696D655F69736F222C225F646174615F223A22323032362D31312D32345431323A30303A30302E3132333435362B30303A3030227D2C226F726967696E61746F725F746F706963223A22747261636B222C22646964223A226469643A706C633A626F62222C22747261636B5F6964223A342C227469746C65223A22547261636B2034222C22617274697374223A22416C696365222C22617564696F223A7B225F747970655F223A22617564696F222C225F646174615F223A7B22636964223A226261666B726569617564696F34222C2273697A65223A313030342C226D696D65223A22617564696F2F6D706567222C2266696C655F74797065223A226D7033222C226475726174696F6E223A3138307D7D2C22616C62756D223A6E756C6C2C226665617475726573223A5B5D2C2274616773223A5B5D2C226465736372697074696F6E223A6E756C6C2C22617274776F726B223A6E756C6C2C22737570706F72745F67617465223A6E756C6C2C22756E6C6973746564223A66616C73652C2273656C665F6C6162656C73223A5B5D2C22637265617465645F6174223A22323032362D31312D32345431323A30303A30342E3132335A222C22636F6C6C656374696F6E223A226170702E72656C61792E747261636B222C22726B6579223A22336E33326C7471677975323232222C22757269223A2261743A2F2F6469643A706C633A616C6963652F6170702E72656C61792E747261636B2F336E33326C7471677975323232222C22636964223A22626166797265636F7264222C22626C6F62223A6E756C6C2C22696D6167655F75726C223A6E756C6C7D','artist','test','test','2026-11-27 18:32:45.661934');
INSERT INTO "stored_event" VALUES(9,'did:plc:alice','07ab1271-a8fb-53f5-b455-13d63cdd3906',4,'track.metadata_updated.v1',X'7B2274696D657374616D70223A7B225F747970655F223A226461746574696D655F69736F222C225F646174615F223A22323032362D31312D32375431383A33323A34352E3639393131312B30303A3030227D2C226368616E676573223A7B227469746C65223A224E6F74206F6E207468652050445320796574227D7D','artist','test','test','2026-11-27 18:32:45.703688');
CREATE TABLE track_id_sequence (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	did TEXT NOT NULL
);
CREATE TABLE track_tags (
	track_id INTEGER NOT NULL, 
	tag TEXT NOT NULL, 
	did TEXT NOT NULL, 
	CONSTRAINT pk_track_tags PRIMARY KEY (track_id, tag), 
	CONSTRAINT fk_track_tags_track_id_tracks FOREIGN KEY(track_id) REFERENCES tracks (track_id)
);
CREATE TABLE track_tags_scratch (
	track_id INTEGER NOT NULL, 
	tag TEXT NOT NULL, 
	did TEXT NOT NULL, 
	CONSTRAINT pk_track_tags_scratch PRIMARY KEY (track_id, tag)
);
CREATE TABLE tracks (
	track_id INTEGER NOT NULL, 
	did TEXT NOT NULL, 
	title TEXT NOT NULL, 
	artist TEXT NOT NULL, 
	album TEXT, 
	features JSON NOT NULL, 
	tags JSON NOT NULL, 
	description TEXT, 
	support_gate JSON, 
	unlisted BOOLEAN NOT NULL, 
	self_labels JSON NOT NULL, 
	audio_cid TEXT NOT NULL, 
	audio_size BIGINT NOT NULL, 
	audio_mime TEXT NOT NULL, 
	audio_file_type TEXT NOT NULL, 
	audio_duration INTEGER, 
	artwork_cid TEXT, 
	artwork_mime TEXT, 
	artwork_size BIGINT, 
	artwork_thumbnail_cid TEXT, 
	image_url TEXT, 
	adopted BOOLEAN NOT NULL, 
	created_at TEXT NOT NULL, 
	updated_at DATETIME NOT NULL, 
	deleted_at DATETIME, 
	taken_down_at DATETIME, 
	record_missing_since DATETIME, 
	blob_ref JSON, 
	blob_requested BOOLEAN NOT NULL, 
	blob_failure TEXT, 
	collection TEXT NOT NULL, 
	rkey TEXT NOT NULL, 
	version INTEGER NOT NULL, 
	visible_version INTEGER NOT NULL, 
	search TEXT NOT NULL, 
	CONSTRAINT pk_tracks PRIMARY KEY (track_id), 
	CONSTRAINT uq_tracks_did UNIQUE (did, collection, rkey)
);
INSERT INTO "tracks" VALUES(1,'did:plc:alice','Not on the PDS yet','Alice','Tape','[{"did": "did:plc:carol", "handle": "carol.test"}]','[]','In one go.',NULL,0,'[]','bafkreib6ubykhnnbsu4yfvlnlsmbif4im23oh5pxb6kb5m2uvn5xtzbeku',3500,'audio/mpeg','mp3',3,'bafkreicover2','image/png',502,'bafkreithumb2',NULL,0,'2026-11-24T12:00:01.123Z','2026-11-27 18:32:45.699111',NULL,NULL,NULL,NULL,0,NULL,'fm.plyr.track','3n32ltnlh6222',4,4,'not on the pds yet
alice
tape');
INSERT INTO "tracks" VALUES(2,'did:plc:alice','Track 2','Alice',NULL,'[]','[]',NULL,'{"type": "any"}',0,'[]','bafkreidostq5rotskrpw4ykslruyk6mhvwhv56szp3oartmy27l7owe7zu',3500,'audio/mpeg','mp3',3,NULL,NULL,NULL,NULL,NULL,0,'2026-11-24T12:00:02.123Z','2026-11-27 18:32:35.326920',NULL,NULL,NULL,NULL,0,NULL,'fm.plyr.track','3n32ltojxq222',2,2,'track 2
alice
');
INSERT INTO "tracks" VALUES(3,'did:plc:alice','Track 3','Alice',NULL,'[]','[]',NULL,NULL,0,'[]','bafkreihuijz4qnbin4p7clrg2cp636oig7qxszwwjtrkfk3xkuln34nbge',3500,'audio/mpeg','mp3',3,NULL,NULL,NULL,NULL,NULL,0,'2026-11-24T12:00:03.123Z','2026-11-27 18:32:40.528530','2026-11-27 18:32:40.528530',NULL,NULL,NULL,0,NULL,'fm.plyr.track','3n32ltpiic222',2,2,'track 3
alice
');
INSERT INTO "tracks" VALUES(4,'did:plc:bob','Track 4','Alice',NULL,'[]','[]',NULL,NULL,0,'[]','bafkreiaudio4',1004,'audio/mpeg','mp3',180,NULL,NULL,NULL,NULL,NULL,1,'2026-11-24T12:00:04.123Z','2026-11-24 12:00:00.123456',NULL,NULL,NULL,NULL,0,NULL,'app.relay.track','3n32ltqgyu222',1,1,'track 4
alice
');
CREATE TABLE tracks_scratch (
	track_id INTEGER NOT NULL, 
	did TEXT NOT NULL, 
	title TEXT NOT NULL, 
	artist TEXT NOT NULL, 
	album TEXT, 
	features JSON NOT NULL, 
	tags JSON NOT NULL, 
	description TEXT, 
	support_gate JSON, 
	unlisted BOOLEAN NOT NULL, 
	self_labels JSON NOT NULL, 
	audio_cid TEXT NOT NULL, 
	audio_size BIGINT NOT NULL, 
	audio_mime TEXT NOT NULL, 
	audio_file_type TEXT NOT NULL, 
	audio_duration INTEGER, 
	artwork_cid TEXT, 
	artwork_mime TEXT, 
	artwork_size BIGINT, 
	artwork_thumbnail_cid TEXT, 
	image_url TEXT, 
	adopted BOOLEAN NOT NULL, 
	created_at TEXT NOT NULL, 
	updated_at DATETIME NOT NULL, 
	deleted_at DATETIME, 
	taken_down_at DATETIME, 
	record_missing_since DATETIME, 
	blob_ref JSON, 
	blob_requested BOOLEAN NOT NULL, 
	blob_failure TEXT, 
	collection TEXT NOT NULL, 
	rkey TEXT NOT NULL, 
	version INTEGER NOT NULL, 
	visible_version INTEGER NOT NULL, 
	search TEXT NOT NULL, 
	CONSTRAINT pk_tracks_scratch PRIMARY KEY (track_id)
);
CREATE INDEX ix_stored_event_did_position ON stored_event (did, position);
CREATE INDEX ix_tracks_artwork_cid ON tracks (artwork_cid);
CREATE INDEX ix_tracks_artwork_thumbnail_cid ON tracks (artwork_thumbnail_cid);
CREATE INDEX ix_tracks_audio_cid ON tracks (audio_cid);
CREATE INDEX ix_tracks_did_track_id ON tracks (did, track_id);
CREATE UNIQUE INDEX uq_tracks_did_audio_cid ON tracks (did, audio_cid) WHERE deleted_at IS NULL AND adopted = 0;
CREATE INDEX ix_track_tags_tag_track_id ON track_tags (tag, track_id);
CREATE INDEX ix_history_did_position ON history (did, position);
CREATE INDEX ix_history_track_id_position ON history (track_id, position);
CREATE INDEX ix_media_references_cid ON media_references (cid);
CREATE INDEX ix_mirror_lane_due ON mirror_lane (host, due_at, did);
CREATE INDEX ix_mirror_lane_probe ON mirror_lane (probe_at);
CREATE INDEX ix_mirror_target_track_id ON mirror_target (track_id);
CREATE UNIQUE INDEX uq_mirror_target_track_id ON mirror_target (track_id) WHERE former = 0;
CREATE INDEX ix_mirror_target_troubled ON mirror_target (track_id) WHERE state IN ('rejected', 'backoff', 'held') OR detached = 1;
CREATE INDEX ix_blob_job_failed ON blob_job (track_id) WHERE attempts > 0;
CREATE INDEX ix_delivery_attempt_record ON delivery_attempt (did, collection, rkey, gen, id);
CREATE INDEX ix_account_handle ON account (handle);
CREATE INDEX ix_credential_did ON credential (did);
CREATE INDEX ix_media_state_touched_at ON media (state, touched_at);
CREATE UNIQUE INDEX uq_media_live_cid ON media (cid) WHERE state = 'live';
CREATE INDEX ix_public_audio_name ON public_audio (name);
CREATE INDEX ix_public_copy_open ON public_copy (not_before) WHERE changes != seen OR state = 'uncertain';
CREATE INDEX ix_public_hold_name ON public_hold (name);
CREATE INDEX ix_blob_job_leased ON blob_job (did) WHERE lease_until > '1970-01-01 00:00:00.000000';
CREATE INDEX ix_mirror_lane_work ON mirror_lane (host, due_at) WHERE state = 'ready' AND (due_at < '9999-01-01 00:00:00.000000' OR backfill_at < '9999-01-01 00:00:00.000000');
CREATE INDEX ix_mirror_lane_leased ON mirror_lane (host) WHERE lease_until > '1970-01-01 00:00:00.000000';
CREATE INDEX ix_blob_job_open ON blob_job (not_before) WHERE requested = 1 OR again = 1;
CREATE INDEX ix_mirror_target_next ON mirror_target (did, (CASE WHEN backfill THEN 2 WHEN (NOT (desired_gen > acked_gen AND (state != 'rejected' OR failed_gen < desired_gen) AND (former = 1 AND cleared_gen >= desired_gen AND (state != 'held' OR failed_gen < desired_gen) OR former = 0 AND desired_op = 'delete' OR former = 0 AND state != 'held' AND detached = 0))) THEN 1 ELSE 0 END), (CASE WHEN (failed_gen = desired_gen) THEN attempts ELSE 0 END), (desired_op != 'delete'), desired_gen) WHERE CASE WHEN (NOT (desired_gen > acked_gen AND (state != 'rejected' OR failed_gen < desired_gen) AND (former = 1 AND cleared_gen >= desired_gen AND (state != 'held' OR failed_gen < desired_gen) OR former = 0 AND desired_op = 'delete' OR former = 0 AND state != 'held' AND detached = 0))) THEN look_at WHEN (failed_gen = desired_gen) THEN not_before ELSE '1970-01-01 00:00:00.000000' END < '9999-01-01 00:00:00.000000';
CREATE INDEX ix_mirror_target_due ON mirror_target (did, backfill, (CASE WHEN (NOT (desired_gen > acked_gen AND (state != 'rejected' OR failed_gen < desired_gen) AND (former = 1 AND cleared_gen >= desired_gen AND (state != 'held' OR failed_gen < desired_gen) OR former = 0 AND desired_op = 'delete' OR former = 0 AND state != 'held' AND detached = 0))) THEN look_at WHEN (failed_gen = desired_gen) THEN not_before ELSE '1970-01-01 00:00:00.000000' END)) WHERE desired_gen > acked_gen OR look_at < '9999-01-01 00:00:00.000000';
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('stored_event',9);
INSERT INTO "sqlite_sequence" VALUES('delivery_attempt',7);
COMMIT;
