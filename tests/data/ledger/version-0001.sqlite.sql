BEGIN TRANSACTION;
CREATE TABLE gpuspawner_audit (
	seq INTEGER NOT NULL, 
	id TEXT NOT NULL, 
	hub TEXT NOT NULL, 
	at DATETIME NOT NULL, 
	actor TEXT NOT NULL, 
	action TEXT NOT NULL, 
	username TEXT, 
	workspace TEXT, 
	details JSON NOT NULL, 
	CONSTRAINT gpuspawner_audit_pkey PRIMARY KEY (seq), 
	CONSTRAINT gpuspawner_audit_id_key UNIQUE (id)
);
INSERT INTO "gpuspawner_audit" VALUES(1,'settled-extension-28800','hub','2026-11-02 14:00:00.000000','ada','extension','ada','cse151a','{"session": "settled", "runtime": 28800, "held": 8.0}');
INSERT INTO "gpuspawner_audit" VALUES(2,'settled-charge','hub','2026-11-02 14:00:00.000000','gpuspawner','charge','ada','cse151a','{"session": "settled", "units": 0.5, "held": 8.0, "gpu_class": "small", "started": "2026-11-02T12:00:00+00:00", "ended": "2026-11-02T13:00:00.000001+00:00", "cause": "stopped"}');
INSERT INTO "gpuspawner_audit" VALUES(3,'never-charge','hub','2026-11-02 14:00:00.000000','gpuspawner','charge','ada','cse151a','{"session": "never", "units": 0.0, "held": 6.0, "gpu_class": null, "started": null, "ended": "2026-11-02T13:00:00+00:00", "cause": "No node."}');
INSERT INTO "gpuspawner_audit" VALUES(4,'theirs-charge','research','2026-11-02 14:00:00.000000','gpuspawner','charge','ada','cse151a','{"session": "theirs", "units": 3e-06, "held": 6.0, "gpu_class": "small", "started": "2026-11-02T12:00:00+00:00", "ended": "2026-11-02T13:00:00+00:00", "cause": "stopped"}');
INSERT INTO "gpuspawner_audit" VALUES(5,'given-grant','hub','2026-11-02 12:00:00.000000','root','grant','ada','cse151a','{"grant": "given", "units": 5.0, "reason": "Thesis", "until": "2026-11-06T16:00:00+00:00"}');
INSERT INTO "gpuspawner_audit" VALUES(6,'pool-grant','hub','2026-11-02 12:00:00.000000','root','grant',NULL,'cse151a','{"grant": "pool", "units": 1e-06, "reason": "Thesis"}');
INSERT INTO "gpuspawner_audit" VALUES(7,'pool-revocation','hub','2026-11-02 13:00:00.000000','root','revocation',NULL,'cse151a','{"grant": "pool", "units": 1e-06}');
INSERT INTO "gpuspawner_audit" VALUES(8,'denied','hub','2026-11-02 12:00:00.000000','ada','denial','ada','cse151a','{"reason": "CSE 151A holds 12 of 12 Medium GPUs."}');
INSERT INTO "gpuspawner_audit" VALUES(9,'joined','hub','2026-11-02 12:00:00.000000','registrar','join','bob','lab','{}');
CREATE TABLE gpuspawner_grants (
	id TEXT NOT NULL, 
	hub TEXT NOT NULL, 
	workspace TEXT NOT NULL, 
	username TEXT, 
	units BIGINT NOT NULL, 
	until DATETIME, 
	reason TEXT NOT NULL, 
	granted_by TEXT NOT NULL, 
	at DATETIME NOT NULL, 
	revoked DATETIME, 
	CONSTRAINT gpuspawner_grants_pkey PRIMARY KEY (id), 
	CONSTRAINT gpuspawner_grants_units CHECK (units > 0)
);
INSERT INTO "gpuspawner_grants" VALUES('given','hub','cse151a','ada',5000000,'2026-11-06 16:00:00.000000','Thesis','root','2026-11-02 12:00:00.000000',NULL);
INSERT INTO "gpuspawner_grants" VALUES('pool','hub','cse151a',NULL,1,NULL,'Thesis','root','2026-11-02 12:00:00.000000','2026-11-02 13:00:00.000000');
CREATE TABLE gpuspawner_sessions (
	id TEXT NOT NULL, 
	hub TEXT NOT NULL, 
	username TEXT NOT NULL, 
	server TEXT NOT NULL, 
	workspace TEXT NOT NULL, 
	profile TEXT NOT NULL, 
	options JSON NOT NULL, 
	gpu_classes JSON NOT NULL, 
	gpus INTEGER NOT NULL, 
	cpu FLOAT NOT NULL, 
	memory BIGINT NOT NULL, 
	image TEXT NOT NULL, 
	runtime BIGINT NOT NULL, 
	price JSON NOT NULL, 
	held BIGINT NOT NULL, 
	opened DATETIME NOT NULL, 
	started DATETIME, 
	ended DATETIME, 
	gpu_class TEXT, 
	charged BIGINT, 
	cause TEXT, 
	CONSTRAINT gpuspawner_sessions_pkey PRIMARY KEY (id), 
	CONSTRAINT gpuspawner_sessions_held CHECK (held >= 0), 
	CONSTRAINT gpuspawner_sessions_charged CHECK (charged >= 0), 
	CONSTRAINT gpuspawner_sessions_ended CHECK (charged IS NULL OR ended IS NOT NULL)
);
INSERT INTO "gpuspawner_sessions" VALUES('settled','hub','ada','','cse151a','pytorch','{"gpu_class": ["small", "medium"], "gpus": 1}','["small", "medium"]',1,2.5,8000000000,'quay.io/jupyter/pytorch-notebook:cuda12',28800,'{"rates": {"small": 500000, "medium": 1000000}}',8000000,'2026-11-02 12:00:00.000000','2026-11-02 12:00:00.000000','2026-11-02 13:00:00.000001','small',500000,'stopped');
INSERT INTO "gpuspawner_sessions" VALUES('running','hub','grace','lab','cse151a','pytorch','{"gpu_class": ["small", "medium"], "gpus": 1}','["small", "medium"]',1,2.5,8000000000,'quay.io/jupyter/pytorch-notebook:cuda12',21600,'{"rates": {"small": 500000, "medium": 1000000}}',6000000,'2026-11-02 13:00:00.000000','2026-11-02 13:00:00.000000',NULL,'medium',NULL,NULL);
INSERT INTO "gpuspawner_sessions" VALUES('waiting','hub','λ','','cse151a','pytorch','{"note": "na\u00efve \"quotes\" ''single'' ; -- \ud83d\ude80"}','["small", "medium"]',1,2.5,8000000000,'quay.io/jupyter/pytorch-notebook:cuda12',21600,'{"rates": {"small": 500000, "medium": 1000000}}',6000000,'2026-11-02 14:00:00.000000',NULL,NULL,NULL,NULL,NULL);
INSERT INTO "gpuspawner_sessions" VALUES('free','hub','ada','','cse151a','pytorch','{"gpu_class": ["small", "medium"], "gpus": 1}','[]',0,2.5,8000000000,'quay.io/jupyter/pytorch-notebook:cuda12',21600,'{}',0,'2026-11-02 13:00:00.000000','2026-11-02 12:00:00.000000','2026-11-02 13:00:00.000000',NULL,0,'stopped');
INSERT INTO "gpuspawner_sessions" VALUES('never','hub','ada','','cse151a','pytorch','{"gpu_class": ["small", "medium"], "gpus": 1}','["small", "medium"]',1,2.5,8000000000,'quay.io/jupyter/pytorch-notebook:cuda12',21600,'{"rates": {"small": 500000, "medium": 1000000}}',6000000,'2026-11-02 13:00:00.000000',NULL,'2026-11-02 13:00:00.000000',NULL,0,'No node.');
INSERT INTO "gpuspawner_sessions" VALUES('theirs','research','ada','','cse151a','pytorch','{"gpu_class": ["small", "medium"], "gpus": 1}','["small", "medium"]',1,2.5,8000000000,'quay.io/jupyter/pytorch-notebook:cuda12',21600,'{"rates": {"small": 500000, "medium": 1000000}}',6000000,'2026-11-02 12:00:00.000000','2026-11-02 12:00:00.000000','2026-11-02 13:00:00.000000','small',3,'stopped');
CREATE TABLE gpuspawner_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT gpuspawner_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "gpuspawner_version" VALUES('0001');
CREATE INDEX gpuspawner_sessions_by_time ON gpuspawner_sessions (opened, id);
CREATE INDEX gpuspawner_sessions_by_user ON gpuspawner_sessions (username, opened, id);
CREATE INDEX gpuspawner_sessions_by_workspace ON gpuspawner_sessions (workspace, opened, id);
CREATE INDEX gpuspawner_sessions_unsettled ON gpuspawner_sessions (hub) WHERE charged IS NULL;
CREATE INDEX gpuspawner_grants_by_workspace ON gpuspawner_grants (workspace, username);
CREATE INDEX gpuspawner_audit_by_time ON gpuspawner_audit (at, seq);
CREATE INDEX gpuspawner_audit_by_user ON gpuspawner_audit (username, at, seq);
CREATE INDEX gpuspawner_audit_by_workspace ON gpuspawner_audit (workspace, at, seq);
CREATE INDEX gpuspawner_audit_by_actor ON gpuspawner_audit (actor, at, seq);
CREATE INDEX gpuspawner_audit_by_action ON gpuspawner_audit (action, at, seq);
CREATE TRIGGER gpuspawner_audit_no_update BEFORE UPDATE ON gpuspawner_audit BEGIN SELECT RAISE(ABORT, 'the audit log can only grow'); END;
CREATE TRIGGER gpuspawner_audit_no_delete BEFORE DELETE ON gpuspawner_audit BEGIN SELECT RAISE(ABORT, 'the audit log can only grow'); END;
CREATE TRIGGER gpuspawner_audit_no_replace BEFORE INSERT ON gpuspawner_audit
            WHEN EXISTS (SELECT 1 FROM gpuspawner_audit WHERE id = NEW.id OR seq = NEW.seq)
            BEGIN SELECT RAISE(IGNORE); END;
COMMIT;
