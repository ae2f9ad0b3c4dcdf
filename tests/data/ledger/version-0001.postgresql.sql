CREATE FUNCTION public.gpuspawner_audit_only_grows() RETURNS trigger
    LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION 'the audit log can only grow'; END $$;
CREATE TABLE public.gpuspawner_audit (
    seq bigint NOT NULL,
    id text NOT NULL,
    hub text NOT NULL,
    at timestamp with time zone NOT NULL,
    actor text NOT NULL,
    action text NOT NULL,
    username text,
    workspace text,
    details jsonb NOT NULL
);
CREATE SEQUENCE public.gpuspawner_audit_seq_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.gpuspawner_audit_seq_seq OWNED BY public.gpuspawner_audit.seq;
CREATE TABLE public.gpuspawner_grants (
    id text NOT NULL,
    hub text NOT NULL,
    workspace text NOT NULL,
    username text,
    units bigint NOT NULL,
    until timestamp with time zone,
    reason text NOT NULL,
    granted_by text NOT NULL,
    at timestamp with time zone NOT NULL,
    revoked timestamp with time zone,
    CONSTRAINT gpuspawner_grants_units CHECK ((units > 0))
);
CREATE TABLE public.gpuspawner_sessions (
    id text NOT NULL,
    hub text NOT NULL,
    username text NOT NULL,
    server text NOT NULL,
    workspace text NOT NULL,
    profile text NOT NULL,
    options jsonb NOT NULL,
    gpu_classes jsonb NOT NULL,
    gpus integer NOT NULL,
    cpu double precision NOT NULL,
    memory bigint NOT NULL,
    image text NOT NULL,
    runtime bigint NOT NULL,
    price jsonb NOT NULL,
    held bigint NOT NULL,
    opened timestamp with time zone NOT NULL,
    started timestamp with time zone,
    ended timestamp with time zone,
    gpu_class text,
    charged bigint,
    cause text,
    CONSTRAINT gpuspawner_sessions_charged CHECK ((charged >= 0)),
    CONSTRAINT gpuspawner_sessions_ended CHECK (((charged IS NULL) OR (ended IS NOT NULL))),
    CONSTRAINT gpuspawner_sessions_held CHECK ((held >= 0))
);
CREATE TABLE public.gpuspawner_version (
    version_num character varying(32) NOT NULL
);
ALTER TABLE ONLY public.gpuspawner_audit ALTER COLUMN seq SET DEFAULT nextval('public.gpuspawner_audit_seq_seq'::regclass);
INSERT INTO public.gpuspawner_audit VALUES (1, 'settled-extension-28800', 'hub', '2026-11-02 14:00:00+00', 'ada', 'extension', 'ada', 'cse151a', '{"held": 8.0, "runtime": 28800, "session": "settled"}');
INSERT INTO public.gpuspawner_audit VALUES (2, 'settled-charge', 'hub', '2026-11-02 14:00:00+00', 'gpuspawner', 'charge', 'ada', 'cse151a', '{"held": 8.0, "cause": "stopped", "ended": "2026-11-02T13:00:00.000001+00:00", "units": 0.5, "session": "settled", "started": "2026-11-02T12:00:00+00:00", "gpu_class": "small"}');
INSERT INTO public.gpuspawner_audit VALUES (3, 'never-charge', 'hub', '2026-11-02 14:00:00+00', 'gpuspawner', 'charge', 'ada', 'cse151a', '{"held": 6.0, "cause": "No node.", "ended": "2026-11-02T13:00:00+00:00", "units": 0.0, "session": "never", "started": null, "gpu_class": null}');
INSERT INTO public.gpuspawner_audit VALUES (4, 'theirs-charge', 'research', '2026-11-02 14:00:00+00', 'gpuspawner', 'charge', 'ada', 'cse151a', '{"held": 6.0, "cause": "stopped", "ended": "2026-11-02T13:00:00+00:00", "units": 0.000003, "session": "theirs", "started": "2026-11-02T12:00:00+00:00", "gpu_class": "small"}');
INSERT INTO public.gpuspawner_audit VALUES (5, 'given-grant', 'hub', '2026-11-02 12:00:00+00', 'root', 'grant', 'ada', 'cse151a', '{"grant": "given", "units": 5.0, "until": "2026-11-06T16:00:00+00:00", "reason": "Thesis"}');
INSERT INTO public.gpuspawner_audit VALUES (6, 'pool-grant', 'hub', '2026-11-02 12:00:00+00', 'root', 'grant', NULL, 'cse151a', '{"grant": "pool", "units": 0.000001, "reason": "Thesis"}');
INSERT INTO public.gpuspawner_audit VALUES (7, 'pool-revocation', 'hub', '2026-11-02 13:00:00+00', 'root', 'revocation', NULL, 'cse151a', '{"grant": "pool", "units": 0.000001}');
INSERT INTO public.gpuspawner_audit VALUES (8, 'denied', 'hub', '2026-11-02 12:00:00+00', 'ada', 'denial', 'ada', 'cse151a', '{"reason": "CSE 151A holds 12 of 12 Medium GPUs."}');
INSERT INTO public.gpuspawner_audit VALUES (9, 'joined', 'hub', '2026-11-02 12:00:00+00', 'registrar', 'join', 'bob', 'lab', '{}');
INSERT INTO public.gpuspawner_grants VALUES ('given', 'hub', 'cse151a', 'ada', 5000000, '2026-11-06 16:00:00+00', 'Thesis', 'root', '2026-11-02 12:00:00+00', NULL);
INSERT INTO public.gpuspawner_grants VALUES ('pool', 'hub', 'cse151a', NULL, 1, NULL, 'Thesis', 'root', '2026-11-02 12:00:00+00', '2026-11-02 13:00:00+00');
INSERT INTO public.gpuspawner_sessions VALUES ('settled', 'hub', 'ada', '', 'cse151a', 'pytorch', '{"gpus": 1, "gpu_class": ["small", "medium"]}', '["small", "medium"]', 1, 2.5, 8000000000, 'quay.io/jupyter/pytorch-notebook:cuda12', 28800, '{"rates": {"small": 500000, "medium": 1000000}}', 8000000, '2026-11-02 12:00:00+00', '2026-11-02 12:00:00+00', '2026-11-02 13:00:00.000001+00', 'small', 500000, 'stopped');
INSERT INTO public.gpuspawner_sessions VALUES ('running', 'hub', 'grace', 'lab', 'cse151a', 'pytorch', '{"gpus": 1, "gpu_class": ["small", "medium"]}', '["small", "medium"]', 1, 2.5, 8000000000, 'quay.io/jupyter/pytorch-notebook:cuda12', 21600, '{"rates": {"small": 500000, "medium": 1000000}}', 6000000, '2026-11-02 13:00:00+00', '2026-11-02 13:00:00+00', NULL, 'medium', NULL, NULL);
INSERT INTO public.gpuspawner_sessions VALUES ('waiting', 'hub', 'λ', '', 'cse151a', 'pytorch', '{"note": "naïve \"quotes\" ''single'' ; -- 🚀"}', '["small", "medium"]', 1, 2.5, 8000000000, 'quay.io/jupyter/pytorch-notebook:cuda12', 21600, '{"rates": {"small": 500000, "medium": 1000000}}', 6000000, '2026-11-02 14:00:00+00', NULL, NULL, NULL, NULL, NULL);
INSERT INTO public.gpuspawner_sessions VALUES ('free', 'hub', 'ada', '', 'cse151a', 'pytorch', '{"gpus": 1, "gpu_class": ["small", "medium"]}', '[]', 0, 2.5, 8000000000, 'quay.io/jupyter/pytorch-notebook:cuda12', 21600, '{}', 0, '2026-11-02 13:00:00+00', '2026-11-02 12:00:00+00', '2026-11-02 13:00:00+00', NULL, 0, 'stopped');
INSERT INTO public.gpuspawner_sessions VALUES ('never', 'hub', 'ada', '', 'cse151a', 'pytorch', '{"gpus": 1, "gpu_class": ["small", "medium"]}', '["small", "medium"]', 1, 2.5, 8000000000, 'quay.io/jupyter/pytorch-notebook:cuda12', 21600, '{"rates": {"small": 500000, "medium": 1000000}}', 6000000, '2026-11-02 13:00:00+00', NULL, '2026-11-02 13:00:00+00', NULL, 0, 'No node.');
INSERT INTO public.gpuspawner_sessions VALUES ('theirs', 'research', 'ada', '', 'cse151a', 'pytorch', '{"gpus": 1, "gpu_class": ["small", "medium"]}', '["small", "medium"]', 1, 2.5, 8000000000, 'quay.io/jupyter/pytorch-notebook:cuda12', 21600, '{"rates": {"small": 500000, "medium": 1000000}}', 6000000, '2026-11-02 12:00:00+00', '2026-11-02 12:00:00+00', '2026-11-02 13:00:00+00', 'small', 3, 'stopped');
INSERT INTO public.gpuspawner_version VALUES ('0001');
SELECT pg_catalog.setval('public.gpuspawner_audit_seq_seq', 9, true);
ALTER TABLE ONLY public.gpuspawner_audit
    ADD CONSTRAINT gpuspawner_audit_id_key UNIQUE (id);
ALTER TABLE ONLY public.gpuspawner_audit
    ADD CONSTRAINT gpuspawner_audit_pkey PRIMARY KEY (seq);
ALTER TABLE ONLY public.gpuspawner_grants
    ADD CONSTRAINT gpuspawner_grants_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.gpuspawner_sessions
    ADD CONSTRAINT gpuspawner_sessions_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.gpuspawner_version
    ADD CONSTRAINT gpuspawner_version_pkc PRIMARY KEY (version_num);
CREATE INDEX gpuspawner_audit_by_action ON public.gpuspawner_audit USING btree (action, at, seq);
CREATE INDEX gpuspawner_audit_by_actor ON public.gpuspawner_audit USING btree (actor, at, seq);
CREATE INDEX gpuspawner_audit_by_time ON public.gpuspawner_audit USING btree (at, seq);
CREATE INDEX gpuspawner_audit_by_user ON public.gpuspawner_audit USING btree (username, at, seq);
CREATE INDEX gpuspawner_audit_by_workspace ON public.gpuspawner_audit USING btree (workspace, at, seq);
CREATE INDEX gpuspawner_grants_by_workspace ON public.gpuspawner_grants USING btree (workspace, username);
CREATE INDEX gpuspawner_sessions_by_time ON public.gpuspawner_sessions USING btree (opened, id);
CREATE INDEX gpuspawner_sessions_by_user ON public.gpuspawner_sessions USING btree (username, opened, id);
CREATE INDEX gpuspawner_sessions_by_workspace ON public.gpuspawner_sessions USING btree (workspace, opened, id);
CREATE INDEX gpuspawner_sessions_unsettled ON public.gpuspawner_sessions USING btree (hub) WHERE (charged IS NULL);
CREATE TRIGGER gpuspawner_audit_no_change BEFORE DELETE OR UPDATE ON public.gpuspawner_audit FOR EACH ROW EXECUTE FUNCTION public.gpuspawner_audit_only_grows();
CREATE TRIGGER gpuspawner_audit_no_truncate BEFORE TRUNCATE ON public.gpuspawner_audit FOR EACH STATEMENT EXECUTE FUNCTION public.gpuspawner_audit_only_grows();
