--
-- PostgreSQL database dump
--


-- Dumped from database version 18.6
-- Dumped by pg_dump version 18.6

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: account; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.account (
    did text NOT NULL,
    handle text NOT NULL,
    pds_url text NOT NULL,
    display_name text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    leaving_since timestamp with time zone
);


--
-- Name: adoption; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.adoption (
    did text NOT NULL,
    actor text NOT NULL,
    via text NOT NULL,
    request_id text NOT NULL,
    requested_at timestamp with time zone NOT NULL,
    not_before timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    attempts integer DEFAULT 0 NOT NULL,
    found integer DEFAULT 0 NOT NULL,
    known integer DEFAULT 0 NOT NULL,
    adopted integer DEFAULT 0 NOT NULL,
    refused integer DEFAULT 0 NOT NULL,
    problems jsonb NOT NULL,
    problem text,
    lease_owner text,
    lease_until timestamp with time zone NOT NULL,
    lease_epoch integer DEFAULT 0 NOT NULL
);


--
-- Name: alembic_version; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);


--
-- Name: blob_job; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.blob_job (
    did text NOT NULL,
    track_id bigint NOT NULL,
    audio_cid text NOT NULL,
    requested boolean NOT NULL,
    again boolean DEFAULT false NOT NULL,
    backfill boolean DEFAULT false NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    not_before timestamp with time zone DEFAULT '1970-01-01 00:00:00+00'::timestamp with time zone NOT NULL,
    last_error text,
    lease_owner text,
    lease_until timestamp with time zone DEFAULT '1970-01-01 00:00:00+00'::timestamp with time zone NOT NULL,
    lease_epoch integer DEFAULT 0 NOT NULL
);


--
-- Name: blob_job_scratch; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.blob_job_scratch (
    did text NOT NULL,
    track_id bigint NOT NULL,
    audio_cid text NOT NULL,
    requested boolean NOT NULL
);


--
-- Name: credential; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.credential (
    token_hash text NOT NULL,
    id text NOT NULL,
    did text NOT NULL,
    kind text NOT NULL,
    name text NOT NULL,
    scope text NOT NULL,
    created_at timestamp with time zone NOT NULL,
    expires_at timestamp with time zone,
    last_used_at timestamp with time zone,
    revoked_at timestamp with time zone
);


--
-- Name: delivery_attempt; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.delivery_attempt (
    id bigint NOT NULL,
    did text NOT NULL,
    collection text NOT NULL,
    rkey text NOT NULL,
    gen bigint NOT NULL,
    op text NOT NULL,
    request_cid text,
    swap_cid text,
    epoch integer NOT NULL,
    started_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    outcome text,
    status integer,
    error text,
    rev text
);


--
-- Name: delivery_attempt_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.delivery_attempt_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: delivery_attempt_id_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.delivery_attempt_id_seq OWNED BY public.delivery_attempt.id;


--
-- Name: event_tracking; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.event_tracking (
    application_name text NOT NULL,
    notification_id bigint NOT NULL
);


--
-- Name: firehose_cursor; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.firehose_cursor (
    host text NOT NULL,
    seq bigint,
    heard_at timestamp with time zone,
    lease_owner text,
    lease_until timestamp with time zone DEFAULT '1970-01-01 00:00:00+00'::timestamp with time zone NOT NULL
);


--
-- Name: history; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.history (
    "position" bigint NOT NULL,
    did text NOT NULL,
    track_id bigint,
    version integer NOT NULL,
    type text NOT NULL,
    topic text NOT NULL,
    actor text NOT NULL,
    via text NOT NULL,
    request_id text NOT NULL,
    at timestamp with time zone NOT NULL,
    touches_record boolean NOT NULL,
    changes jsonb NOT NULL
);


--
-- Name: history_scratch; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.history_scratch (
    "position" bigint NOT NULL,
    did text NOT NULL,
    track_id bigint,
    version integer NOT NULL,
    type text NOT NULL,
    topic text NOT NULL,
    actor text NOT NULL,
    via text NOT NULL,
    request_id text NOT NULL,
    at timestamp with time zone NOT NULL,
    touches_record boolean NOT NULL,
    changes jsonb NOT NULL
);


--
-- Name: idempotency; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.idempotency (
    did text NOT NULL,
    method text NOT NULL,
    route text NOT NULL,
    key text NOT NULL,
    digest text NOT NULL,
    status integer NOT NULL,
    body jsonb NOT NULL,
    headers jsonb NOT NULL,
    created_at timestamp with time zone NOT NULL
);


--
-- Name: job_lease; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.job_lease (
    name text NOT NULL,
    owner text NOT NULL,
    lease_until timestamp with time zone NOT NULL
);


--
-- Name: log_incarnation; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.log_incarnation (
    id integer NOT NULL,
    identity text NOT NULL,
    issued_up_to bigint DEFAULT 0 NOT NULL,
    restored_because text,
    noticed_at timestamp with time zone,
    recovered_at timestamp with time zone
);


--
-- Name: media; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.media (
    key text NOT NULL,
    cid text NOT NULL,
    state text NOT NULL,
    mime text NOT NULL,
    size bigint NOT NULL,
    touched_at timestamp with time zone NOT NULL,
    reason text,
    CONSTRAINT ck_media_state CHECK ((state = ANY (ARRAY['writing'::text, 'live'::text, 'deleting'::text])))
);


--
-- Name: media_references; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.media_references (
    track_id bigint NOT NULL,
    cid text NOT NULL,
    did text NOT NULL,
    released_at timestamp with time zone
);


--
-- Name: media_references_scratch; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.media_references_scratch (
    track_id bigint NOT NULL,
    cid text NOT NULL,
    did text NOT NULL,
    released_at timestamp with time zone
);


--
-- Name: mirror_lane; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.mirror_lane (
    did text NOT NULL,
    host text NOT NULL,
    state text NOT NULL,
    paused boolean DEFAULT false NOT NULL,
    due_at timestamp with time zone DEFAULT '9999-01-01 00:00:00+00'::timestamp with time zone NOT NULL,
    backfill_at timestamp with time zone DEFAULT '9999-01-01 00:00:00+00'::timestamp with time zone NOT NULL,
    not_before timestamp with time zone DEFAULT '1970-01-01 00:00:00+00'::timestamp with time zone NOT NULL,
    paced_until timestamp with time zone DEFAULT '1970-01-01 00:00:00+00'::timestamp with time zone NOT NULL,
    backfill_after timestamp with time zone DEFAULT '1970-01-01 00:00:00+00'::timestamp with time zone NOT NULL,
    failures integer DEFAULT 0 NOT NULL,
    hour_limit integer,
    hour_left integer,
    hour_reset timestamp with time zone,
    day_limit integer,
    day_left integer,
    day_reset timestamp with time zone,
    probe_at timestamp with time zone DEFAULT '9999-01-01 00:00:00+00'::timestamp with time zone NOT NULL,
    probes integer DEFAULT 0 NOT NULL,
    missing_since timestamp with time zone DEFAULT '9999-01-01 00:00:00+00'::timestamp with time zone NOT NULL,
    lease_owner text,
    lease_until timestamp with time zone DEFAULT '1970-01-01 00:00:00+00'::timestamp with time zone NOT NULL,
    lease_epoch integer DEFAULT 0 NOT NULL,
    is_backfill boolean DEFAULT false NOT NULL,
    last_upload_at timestamp with time zone DEFAULT '1970-01-01 00:00:00+00'::timestamp with time zone NOT NULL
);


--
-- Name: mirror_target; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.mirror_target (
    did text NOT NULL,
    collection text NOT NULL,
    rkey text NOT NULL,
    track_id bigint NOT NULL,
    desired_gen bigint NOT NULL,
    desired_op text NOT NULL,
    detached boolean NOT NULL,
    former boolean DEFAULT false NOT NULL,
    acked_gen bigint DEFAULT 0 NOT NULL,
    acked_at timestamp with time zone,
    observed_cid text,
    observed_body bytea,
    ever_sent boolean DEFAULT false NOT NULL,
    state text DEFAULT 'idle'::text NOT NULL,
    reason text,
    attempts integer DEFAULT 0 NOT NULL,
    failed_gen bigint DEFAULT 0 NOT NULL,
    not_before timestamp with time zone DEFAULT '1970-01-01 00:00:00+00'::timestamp with time zone NOT NULL,
    last_error text,
    conflict_cid text,
    conflict_body bytea,
    look_at timestamp with time zone DEFAULT '9999-01-01 00:00:00+00'::timestamp with time zone NOT NULL,
    backfill boolean DEFAULT false NOT NULL,
    cleared_gen bigint DEFAULT 0 NOT NULL
);


--
-- Name: mirror_target_scratch; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.mirror_target_scratch (
    did text NOT NULL,
    collection text NOT NULL,
    rkey text NOT NULL,
    track_id bigint NOT NULL,
    desired_gen bigint NOT NULL,
    desired_op text NOT NULL,
    detached boolean NOT NULL,
    former boolean NOT NULL
);


--
-- Name: observed_account; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.observed_account (
    did text NOT NULL
);


--
-- Name: pds_host; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.pds_host (
    host text NOT NULL,
    max_lanes integer DEFAULT 4 NOT NULL,
    paused boolean DEFAULT false NOT NULL,
    breaker text DEFAULT 'closed'::text NOT NULL,
    retry_at timestamp with time zone DEFAULT '1970-01-01 00:00:00+00'::timestamp with time zone NOT NULL,
    ramp integer,
    openings integer DEFAULT 0 NOT NULL,
    failures integer DEFAULT 0 NOT NULL,
    failing_did text,
    many_fail boolean DEFAULT false NOT NULL,
    last_error text,
    paced_until timestamp with time zone DEFAULT '1970-01-01 00:00:00+00'::timestamp with time zone NOT NULL,
    backfill_after timestamp with time zone DEFAULT '1970-01-01 00:00:00+00'::timestamp with time zone NOT NULL,
    blobs_after timestamp with time zone DEFAULT '1970-01-01 00:00:00+00'::timestamp with time zone NOT NULL,
    budget_limit integer,
    budget_left integer,
    budget_reset timestamp with time zone,
    budget_seconds integer,
    blob_limit integer,
    blob_left integer,
    blob_reset timestamp with time zone
);


--
-- Name: pds_session; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.pds_session (
    did text NOT NULL,
    kind text NOT NULL,
    pds_url text NOT NULL,
    sealed bytea,
    scope text NOT NULL,
    generation integer NOT NULL,
    status text NOT NULL,
    refresh_until timestamp with time zone,
    refresh_owner text,
    last_error text,
    updated_at timestamp with time zone NOT NULL,
    access_expires_at timestamp with time zone
);


--
-- Name: projection_state; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.projection_state (
    name text NOT NULL,
    fingerprint text NOT NULL
);


--
-- Name: public_audio; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.public_audio (
    track_id bigint NOT NULL,
    cid text NOT NULL,
    did text NOT NULL,
    name text NOT NULL,
    mime text NOT NULL,
    wanted boolean NOT NULL
);


--
-- Name: public_audio_scratch; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.public_audio_scratch (
    track_id bigint NOT NULL,
    cid text NOT NULL,
    did text NOT NULL,
    name text NOT NULL,
    mime text NOT NULL,
    wanted boolean NOT NULL
);


--
-- Name: public_copy; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.public_copy (
    name text NOT NULL,
    cid text NOT NULL,
    mime text NOT NULL,
    state text DEFAULT 'absent'::text NOT NULL,
    changes integer DEFAULT 0 NOT NULL,
    seen integer DEFAULT 0 NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    not_before timestamp with time zone DEFAULT '1970-01-01 00:00:00+00'::timestamp with time zone NOT NULL,
    last_error text,
    lease_until timestamp with time zone DEFAULT '1970-01-01 00:00:00+00'::timestamp with time zone NOT NULL,
    lease_epoch integer DEFAULT 0 NOT NULL
);


--
-- Name: public_hold; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.public_hold (
    token text NOT NULL,
    name text NOT NULL,
    until timestamp with time zone NOT NULL
);


--
-- Name: repo_scan; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.repo_scan (
    did text NOT NULL,
    rev text,
    scanned_at timestamp with time zone DEFAULT '1970-01-01 00:00:00+00'::timestamp with time zone NOT NULL,
    found integer DEFAULT 0 NOT NULL,
    problem text,
    heard_rev text
);


--
-- Name: running_request; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.running_request (
    did text NOT NULL,
    method text NOT NULL,
    route text NOT NULL,
    key text NOT NULL,
    run text NOT NULL,
    lease_until timestamp with time zone NOT NULL
);


--
-- Name: stored_event; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.stored_event (
    "position" bigint NOT NULL,
    did text NOT NULL,
    originator_id text NOT NULL,
    originator_version integer NOT NULL,
    topic text NOT NULL,
    state bytea NOT NULL,
    actor text NOT NULL,
    via text NOT NULL,
    request_id text NOT NULL,
    recorded_at timestamp with time zone NOT NULL
);


--
-- Name: stored_event_position_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.stored_event_position_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: stored_event_position_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.stored_event_position_seq OWNED BY public.stored_event."position";


--
-- Name: track_id_sequence; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.track_id_sequence (
    id bigint NOT NULL,
    did text NOT NULL
);


--
-- Name: track_id_sequence_id_seq; Type: SEQUENCE; Schema: public; Owner: -
--

CREATE SEQUENCE public.track_id_sequence_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;


--
-- Name: track_id_sequence_id_seq; Type: SEQUENCE OWNED BY; Schema: public; Owner: -
--

ALTER SEQUENCE public.track_id_sequence_id_seq OWNED BY public.track_id_sequence.id;


--
-- Name: track_tags; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.track_tags (
    track_id bigint NOT NULL,
    tag text NOT NULL,
    did text NOT NULL
);


--
-- Name: track_tags_scratch; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.track_tags_scratch (
    track_id bigint NOT NULL,
    tag text NOT NULL,
    did text NOT NULL
);


--
-- Name: tracks; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.tracks (
    track_id bigint NOT NULL,
    did text NOT NULL,
    title text NOT NULL,
    artist text NOT NULL,
    album text,
    features jsonb NOT NULL,
    tags jsonb NOT NULL,
    description text,
    support_gate jsonb,
    unlisted boolean NOT NULL,
    self_labels jsonb NOT NULL,
    audio_cid text NOT NULL,
    audio_size bigint NOT NULL,
    audio_mime text NOT NULL,
    audio_file_type text NOT NULL,
    audio_duration integer,
    artwork_cid text,
    artwork_mime text,
    artwork_size bigint,
    artwork_thumbnail_cid text,
    image_url text,
    adopted boolean NOT NULL,
    created_at text NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    deleted_at timestamp with time zone,
    taken_down_at timestamp with time zone,
    record_missing_since timestamp with time zone,
    blob_ref jsonb,
    blob_requested boolean NOT NULL,
    blob_failure text,
    collection text NOT NULL,
    rkey text NOT NULL,
    version integer NOT NULL,
    visible_version integer NOT NULL,
    search text NOT NULL
);


--
-- Name: tracks_scratch; Type: TABLE; Schema: public; Owner: -
--

CREATE TABLE public.tracks_scratch (
    track_id bigint NOT NULL,
    did text NOT NULL,
    title text NOT NULL,
    artist text NOT NULL,
    album text,
    features jsonb NOT NULL,
    tags jsonb NOT NULL,
    description text,
    support_gate jsonb,
    unlisted boolean NOT NULL,
    self_labels jsonb NOT NULL,
    audio_cid text NOT NULL,
    audio_size bigint NOT NULL,
    audio_mime text NOT NULL,
    audio_file_type text NOT NULL,
    audio_duration integer,
    artwork_cid text,
    artwork_mime text,
    artwork_size bigint,
    artwork_thumbnail_cid text,
    image_url text,
    adopted boolean NOT NULL,
    created_at text NOT NULL,
    updated_at timestamp with time zone NOT NULL,
    deleted_at timestamp with time zone,
    taken_down_at timestamp with time zone,
    record_missing_since timestamp with time zone,
    blob_ref jsonb,
    blob_requested boolean NOT NULL,
    blob_failure text,
    collection text NOT NULL,
    rkey text NOT NULL,
    version integer NOT NULL,
    visible_version integer NOT NULL,
    search text NOT NULL
);


--
-- Name: delivery_attempt id; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.delivery_attempt ALTER COLUMN id SET DEFAULT nextval('public.delivery_attempt_id_seq'::regclass);


--
-- Name: stored_event position; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.stored_event ALTER COLUMN "position" SET DEFAULT nextval('public.stored_event_position_seq'::regclass);


--
-- Name: track_id_sequence id; Type: DEFAULT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.track_id_sequence ALTER COLUMN id SET DEFAULT nextval('public.track_id_sequence_id_seq'::regclass);


--
-- Data for Name: account; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.account VALUES ('did:plc:alice', 'alice.test', 'http://pds.test', 'alice.test', '2026-11-27 18:32:44.4902+00', '2026-11-27 18:32:44.4902+00', NULL);
INSERT INTO public.account VALUES ('did:plc:bob', 'bob.test', 'http://pds.test', 'bob.test', '2026-11-27 18:32:44.513907+00', '2026-11-27 18:32:44.513907+00', NULL);


--
-- Data for Name: adoption; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: alembic_version; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.alembic_version VALUES ('0005');


--
-- Data for Name: blob_job; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: blob_job_scratch; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: credential; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.credential VALUES ('5d7884bb7e9a478186ae78ebe6415a6af8914b5481605745670db62500bc1d5b', 'e4280a129c155a8d', 'did:plc:alice', 'api', 'rehearsal', 'write', '2026-11-27 18:32:44.53083+00', NULL, '2026-11-27 18:32:44.707896+00', NULL);


--
-- Data for Name: delivery_attempt; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.delivery_attempt VALUES (1, 'did:plc:alice', 'fm.plyr.track', '3n32ltnlh6222', 1, 'put', 'bafyreibgnoy22cvkvi7tqpx7w4c62eftp5eoipnwuth5tds5xnce5iifrm', NULL, 1, '2026-11-27 18:32:43.313739+00', '2026-11-27 18:32:43.326467+00', 'done', 200, NULL, '3n3ct6mmxj722');
INSERT INTO public.delivery_attempt VALUES (2, 'did:plc:alice', 'fm.plyr.track', '3n32ltojxq222', 2, 'put', 'bafyreihybubrejzfrt7e2meof5oxdesaziizesljeitycvdhhfj7urkiaq', NULL, 1, '2026-11-27 18:32:43.34716+00', '2026-11-27 18:32:43.352555+00', 'done', 200, NULL, '3n3ct6mnqhy22');
INSERT INTO public.delivery_attempt VALUES (3, 'did:plc:alice', 'fm.plyr.track', '3n32ltpiic222', 3, 'put', 'bafyreigthz2y7o7xycmluxvtx4qey373rsv34uiftcak4nhc7l5wfj3epm', NULL, 1, '2026-11-27 18:32:43.362491+00', '2026-11-27 18:32:43.367295+00', 'done', 200, NULL, '3n3ct6mobc622');
INSERT INTO public.delivery_attempt VALUES (4, 'did:plc:alice', 'fm.plyr.track', '3n32ltnlh6222', 5, 'put', 'bafyreihlp74huebvs2tgnmj5cmtugskj7i6rwse3v5nvtb53ui6duz6nd4', 'bafyreibgnoy22cvkvi7tqpx7w4c62eftp5eoipnwuth5tds5xnce5iifrm', 2, '2026-11-27 18:32:48.615146+00', '2026-11-27 18:32:48.642034+00', 'done', 200, NULL, '3n3ct6mvyul22');
INSERT INTO public.delivery_attempt VALUES (5, 'did:plc:alice', 'fm.plyr.track', '3n32ltojxq222', 6, 'put', 'bafyreidktfnpiinbwuyumnkdkzdae6z6aoxaltrsvw4j3dx5bmuhox54u4', 'bafyreihybubrejzfrt7e2meof5oxdesaziizesljeitycvdhhfj7urkiaq', 2, '2026-11-27 18:32:48.674815+00', '2026-11-27 18:32:48.695734+00', 'done', 200, NULL, '3n3ct6mxrug22');
INSERT INTO public.delivery_attempt VALUES (6, 'did:plc:alice', 'fm.plyr.track', '3n32ltpiic222', 7, 'delete', NULL, 'bafyreigthz2y7o7xycmluxvtx4qey373rsv34uiftcak4nhc7l5wfj3epm', 3, '2026-11-27 18:32:53.999171+00', '2026-11-27 18:32:54.010521+00', 'done', 200, NULL, '3n3ct6nbnjz22');
INSERT INTO public.delivery_attempt VALUES (7, 'did:plc:alice', 'fm.plyr.track', '3n32ltnlh6222', 9, 'put', 'bafyreigdqplb7uoywqmskr4y7tzrph36bdqso6ij6schq5dgjajv3dsaye', 'bafyreihlp74huebvs2tgnmj5cmtugskj7i6rwse3v5nvtb53ui6duz6nd4', 4, '2026-11-27 18:32:54.319464+00', '2026-11-27 18:32:54.358044+00', 'not_sent', NULL, 'ConnectError', NULL);


--
-- Data for Name: event_tracking; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: firehose_cursor; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: history; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.history VALUES (1, 'did:plc:alice', 1, 1, 'Created', 'track.registered.v1', 'artist', 'test', 'test', '2026-11-27 18:32:42.923267+00', true, '[{"after": "Erste Aufnahme – ä", "field": "title", "before": null}, {"after": "Alice", "field": "artist", "before": null}, {"after": "Tape", "field": "album", "before": null}, {"after": [{"did": "did:plc:carol", "handle": "carol.test"}], "field": "features", "before": null}, {"after": ["a", "b"], "field": "tags", "before": null}, {"after": "In one go.", "field": "description", "before": null}, {"after": false, "field": "unlisted", "before": null}, {"after": [], "field": "self_labels", "before": null}, {"after": {"cid": "bafkreib6ubykhnnbsu4yfvlnlsmbif4im23oh5pxb6kb5m2uvn5xtzbeku", "mime": "audio/mpeg", "size": 3500, "duration": 3, "file_type": "mp3"}, "field": "audio", "before": null}, {"after": false, "field": "blob_requested", "before": null}, {"after": "2026-11-24T12:00:01.123Z", "field": "created_at", "before": null}, {"after": "fm.plyr.track", "field": "collection", "before": null}, {"after": "3n32ltnlh6222", "field": "rkey", "before": null}]');
INSERT INTO public.history VALUES (2, 'did:plc:alice', 2, 1, 'Created', 'track.registered.v1', 'artist', 'test', 'test', '2026-11-27 18:32:43.126212+00', true, '[{"after": "Track 2", "field": "title", "before": null}, {"after": "Alice", "field": "artist", "before": null}, {"after": [], "field": "features", "before": null}, {"after": [], "field": "tags", "before": null}, {"after": false, "field": "unlisted", "before": null}, {"after": [], "field": "self_labels", "before": null}, {"after": {"cid": "bafkreidostq5rotskrpw4ykslruyk6mhvwhv56szp3oartmy27l7owe7zu", "mime": "audio/mpeg", "size": 3500, "duration": 3, "file_type": "mp3"}, "field": "audio", "before": null}, {"after": false, "field": "blob_requested", "before": null}, {"after": "2026-11-24T12:00:02.123Z", "field": "created_at", "before": null}, {"after": "fm.plyr.track", "field": "collection", "before": null}, {"after": "3n32ltojxq222", "field": "rkey", "before": null}]');
INSERT INTO public.history VALUES (3, 'did:plc:alice', 3, 1, 'Created', 'track.registered.v1', 'artist', 'test', 'test', '2026-11-27 18:32:43.151391+00', true, '[{"after": "Track 3", "field": "title", "before": null}, {"after": "Alice", "field": "artist", "before": null}, {"after": [], "field": "features", "before": null}, {"after": [], "field": "tags", "before": null}, {"after": false, "field": "unlisted", "before": null}, {"after": [], "field": "self_labels", "before": null}, {"after": {"cid": "bafkreihuijz4qnbin4p7clrg2cp636oig7qxszwwjtrkfk3xkuln34nbge", "mime": "audio/mpeg", "size": 3500, "duration": 3, "file_type": "mp3"}, "field": "audio", "before": null}, {"after": false, "field": "blob_requested", "before": null}, {"after": "2026-11-24T12:00:03.123Z", "field": "created_at", "before": null}, {"after": "fm.plyr.track", "field": "collection", "before": null}, {"after": "3n32ltpiic222", "field": "rkey", "before": null}]');
INSERT INTO public.history VALUES (4, 'did:plc:alice', 1, 2, 'MetadataUpdated', 'track.metadata_updated.v1', 'artist', 'test', 'test', '2026-11-27 18:32:43.391768+00', true, '[{"after": "Second Thoughts", "field": "title", "before": "Erste Aufnahme – ä"}, {"after": [], "field": "tags", "before": ["a", "b"]}]');
INSERT INTO public.history VALUES (5, 'did:plc:alice', 1, 3, 'ArtworkReplaced', 'track.artwork_replaced.v1', 'artist', 'test', 'test', '2026-11-27 18:32:43.400602+00', true, '[{"after": {"cid": "bafkreicover2", "mime": "image/png", "size": 502, "thumbnail_cid": "bafkreithumb2"}, "field": "artwork", "before": null}]');
INSERT INTO public.history VALUES (6, 'did:plc:alice', 2, 2, 'SupportGateSet', 'track.support_gate_set.v1', 'artist', 'test', 'test', '2026-11-27 18:32:43.413352+00', true, '[{"after": {"type": "any"}, "field": "support_gate", "before": null}]');
INSERT INTO public.history VALUES (7, 'did:plc:alice', 3, 2, 'Deleted', 'track.deleted.v1', 'artist', 'test', 'test', '2026-11-27 18:32:48.782358+00', true, '[{"after": "2026-11-27T18:32:48.782301+00:00", "field": "deleted_at", "before": null}]');
INSERT INTO public.history VALUES (8, 'did:plc:bob', 4, 1, 'Adopted', 'track.adopted.v1', 'artist', 'test', 'test', '2026-11-27 18:32:54.051427+00', false, '[{"after": "Track 4", "field": "title", "before": null}, {"after": "Alice", "field": "artist", "before": null}, {"after": [], "field": "features", "before": null}, {"after": [], "field": "tags", "before": null}, {"after": false, "field": "unlisted", "before": null}, {"after": [], "field": "self_labels", "before": null}, {"after": {"cid": "bafkreiaudio4", "mime": "audio/mpeg", "size": 1004, "duration": 180, "file_type": "mp3"}, "field": "audio", "before": null}, {"after": false, "field": "blob_requested", "before": null}, {"after": "2026-11-24T12:00:04.123Z", "field": "created_at", "before": null}, {"after": "app.relay.track", "field": "collection", "before": null}, {"after": "3n32ltqgyu222", "field": "rkey", "before": null}]');
INSERT INTO public.history VALUES (9, 'did:plc:alice', 1, 4, 'MetadataUpdated', 'track.metadata_updated.v1', 'artist', 'test', 'test', '2026-11-27 18:32:54.161177+00', true, '[{"after": "Not on the PDS yet", "field": "title", "before": "Second Thoughts"}]');


--
-- Data for Name: history_scratch; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: idempotency; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: job_lease; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: log_incarnation; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.log_incarnation VALUES (1, '7712920986818999427 00000001 16384 16392', 0, NULL, NULL, NULL);


--
-- Data for Name: media; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.media VALUES ('bafkreib6ubykhnnbsu4yfvlnlsmbif4im23oh5pxb6kb5m2uvn5xtzbeku.164dd79083cf8610', 'bafkreib6ubykhnnbsu4yfvlnlsmbif4im23oh5pxb6kb5m2uvn5xtzbeku', 'live', 'audio/mpeg', 3500, '2026-11-27 18:32:42.667732+00', NULL);
INSERT INTO public.media VALUES ('bafkreidostq5rotskrpw4ykslruyk6mhvwhv56szp3oartmy27l7owe7zu.3590f7a1ab02db2a', 'bafkreidostq5rotskrpw4ykslruyk6mhvwhv56szp3oartmy27l7owe7zu', 'live', 'audio/mpeg', 3500, '2026-11-27 18:32:42.711541+00', NULL);
INSERT INTO public.media VALUES ('bafkreihuijz4qnbin4p7clrg2cp636oig7qxszwwjtrkfk3xkuln34nbge.74a50816196901a0', 'bafkreihuijz4qnbin4p7clrg2cp636oig7qxszwwjtrkfk3xkuln34nbge', 'live', 'audio/mpeg', 3500, '2026-11-27 18:32:42.835035+00', NULL);


--
-- Data for Name: media_references; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.media_references VALUES (1, 'bafkreib6ubykhnnbsu4yfvlnlsmbif4im23oh5pxb6kb5m2uvn5xtzbeku', 'did:plc:alice', NULL);
INSERT INTO public.media_references VALUES (2, 'bafkreidostq5rotskrpw4ykslruyk6mhvwhv56szp3oartmy27l7owe7zu', 'did:plc:alice', NULL);
INSERT INTO public.media_references VALUES (1, 'bafkreithumb2', 'did:plc:alice', NULL);
INSERT INTO public.media_references VALUES (1, 'bafkreicover2', 'did:plc:alice', NULL);
INSERT INTO public.media_references VALUES (3, 'bafkreihuijz4qnbin4p7clrg2cp636oig7qxszwwjtrkfk3xkuln34nbge', 'did:plc:alice', '2026-11-27 18:32:48.782358+00');
INSERT INTO public.media_references VALUES (4, 'bafkreiaudio4', 'did:plc:bob', NULL);


--
-- Data for Name: media_references_scratch; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: mirror_lane; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.mirror_lane VALUES ('did:plc:bob', '', 'auth_required', false, '2026-11-27 18:32:54.051427+00', '9999-01-01 00:00:00+00', '1970-01-01 00:00:00+00', '1970-01-01 00:00:00+00', '1970-01-01 00:00:00+00', 0, NULL, NULL, NULL, NULL, NULL, NULL, '9999-01-01 00:00:00+00', 0, '9999-01-01 00:00:00+00', NULL, '1970-01-01 00:00:00+00', 0, false, '1970-01-01 00:00:00+00');
INSERT INTO public.mirror_lane VALUES ('did:plc:alice', 'http://pds.test', 'ready', false, '2026-11-27 18:32:44.563565+00', '9999-01-01 00:00:00+00', '1970-01-01 00:00:00+00', '1970-01-01 00:00:00+00', '1970-01-01 00:00:00+00', 0, NULL, NULL, NULL, NULL, NULL, NULL, '9999-01-01 00:00:00+00', 0, '9999-01-01 00:00:00+00', NULL, '1970-01-01 00:00:00+00', 4, false, '1970-01-01 00:00:00+00');


--
-- Data for Name: mirror_target; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.mirror_target VALUES ('did:plc:bob', 'app.relay.track', '3n32ltqgyu222', 4, 8, 'put', false, false, 0, NULL, NULL, NULL, false, 'idle', NULL, 0, 0, '1970-01-01 00:00:00+00', NULL, NULL, NULL, '9999-01-01 00:00:00+00', false, 0);
INSERT INTO public.mirror_target VALUES ('did:plc:alice', 'fm.plyr.track', '3n32ltnlh6222', 1, 9, 'put', false, false, 5, '2026-11-27 18:32:48.642034+00', 'bafyreihlp74huebvs2tgnmj5cmtugskj7i6rwse3v5nvtb53ui6duz6nd4', '\xac6524747970656d666d2e706c79722e747261636b65616c62756d6454617065657469746c656f5365636f6e642054686f75676874736661727469737465416c69636568617564696f55726c785b687474703a2f2f3132372e302e302e313a383030302f617564696f2f6261666b72656962367562796b686e6e627375347966766c6e6c736d62696634696d32336f6835707862366b62356d3275766e3578747a62656b752e6d7033686475726174696f6e0368666561747572657381a2636469646d6469643a706c633a6361726f6c6668616e646c656a6361726f6c2e746573746866696c6554797065636d703368696d61676555726c782b687474703a2f2f3132372e302e302e313a383030302f617274776f726b2f6261666b726569636f76657232696372656174656441747818323032362d31312d32345431323a30303a30312e3132335a6b6465736372697074696f6e6a496e206f6e6520676f2e6d6d61737465727461706547656e05', true, 'backoff', 'backoff', 1, 9, '1970-01-01 00:00:00+00', 'ConnectError: refused', NULL, NULL, '9999-01-01 00:00:00+00', false, 0);
INSERT INTO public.mirror_target VALUES ('did:plc:alice', 'fm.plyr.track', '3n32ltojxq222', 2, 6, 'put', false, false, 6, '2026-11-27 18:32:48.695734+00', 'bafyreidktfnpiinbwuyumnkdkzdae6z6aoxaltrsvw4j3dx5bmuhox54u4', '\xa96524747970656d666d2e706c79722e747261636b657469746c6567547261636b20326661727469737465416c69636568617564696f55726c785b687474703a2f2f3132372e302e302e313a383030302f617564696f2f6261666b726569646f73747135726f74736b72707734796b736c7275796b366d68767768763536737a70336f6172746d7932376c376f7765377a752e6d7033686475726174696f6e036866696c6554797065636d7033696372656174656441747818323032362d31312d32345431323a30303a30322e3132335a6b737570706f727447617465a1647479706563616e796d6d61737465727461706547656e06', true, 'idle', NULL, 0, 0, '1970-01-01 00:00:00+00', NULL, NULL, NULL, '9999-01-01 00:00:00+00', false, 0);
INSERT INTO public.mirror_target VALUES ('did:plc:alice', 'fm.plyr.track', '3n32ltpiic222', 3, 7, 'delete', false, false, 7, '2026-11-27 18:32:54.010521+00', NULL, NULL, true, 'idle', NULL, 0, 0, '1970-01-01 00:00:00+00', NULL, NULL, NULL, '2026-11-27 18:33:54.001355+00', false, 0);


--
-- Data for Name: mirror_target_scratch; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: observed_account; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: pds_host; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.pds_host VALUES ('http://pds.test', 4, false, 'closed', '1970-01-01 00:00:00+00', NULL, 0, 1, 'did:plc:alice', false, 'ConnectError: refused', '1970-01-01 00:00:00+00', '1970-01-01 00:00:00+00', '1970-01-01 00:00:00+00', NULL, NULL, NULL, NULL, NULL, NULL, NULL);


--
-- Data for Name: pds_session; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.pds_session VALUES ('did:plc:alice', 'app_password', 'http://pds.test', '\x674141414141427243637a4d5335627245626b5337646b524b496e7278794c35554e304939684c724263734d776d494833535f557a7a443877576a6f7065485047414c396b5f74596b6670694a305f31386c6f5a6a516c325a73356f30724675346563536e4d786d7361726c75443639614d5f636875656956586b45585237796d4d5543544c5a66574873394f4266524f48344c4647456941575973454144555f4e367032592d575853434551563963506e35425878303d', '', 1, 'active', NULL, NULL, NULL, '2026-11-27 18:32:44.648365+00', NULL);


--
-- Data for Name: projection_state; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.projection_state VALUES ('tracks', '9f24ff1ef2ec7d07');
INSERT INTO public.projection_state VALUES ('track_tags', 'e20ff795081375bf');
INSERT INTO public.projection_state VALUES ('history', '03eca762dc5ae25c');
INSERT INTO public.projection_state VALUES ('media_references', 'db13aafec2c84a31');
INSERT INTO public.projection_state VALUES ('mirror', 'mirror-2');
INSERT INTO public.projection_state VALUES ('public_audio', 'public_audio-2');


--
-- Data for Name: public_audio; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.public_audio VALUES (1, 'bafkreib6ubykhnnbsu4yfvlnlsmbif4im23oh5pxb6kb5m2uvn5xtzbeku', 'did:plc:alice', 'bafkreib6ubykhnnbsu4yfvlnlsmbif4im23oh5pxb6kb5m2uvn5xtzbeku.mp3', 'audio/mpeg', true);
INSERT INTO public.public_audio VALUES (2, 'bafkreidostq5rotskrpw4ykslruyk6mhvwhv56szp3oartmy27l7owe7zu', 'did:plc:alice', 'bafkreidostq5rotskrpw4ykslruyk6mhvwhv56szp3oartmy27l7owe7zu.mp3', 'audio/mpeg', false);
INSERT INTO public.public_audio VALUES (3, 'bafkreihuijz4qnbin4p7clrg2cp636oig7qxszwwjtrkfk3xkuln34nbge', 'did:plc:alice', 'bafkreihuijz4qnbin4p7clrg2cp636oig7qxszwwjtrkfk3xkuln34nbge.mp3', 'audio/mpeg', false);
INSERT INTO public.public_audio VALUES (4, 'bafkreiaudio4', 'did:plc:bob', 'bafkreiaudio4.mp3', 'audio/mpeg', true);


--
-- Data for Name: public_audio_scratch; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: public_copy; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.public_copy VALUES ('bafkreib6ubykhnnbsu4yfvlnlsmbif4im23oh5pxb6kb5m2uvn5xtzbeku.mp3', 'bafkreib6ubykhnnbsu4yfvlnlsmbif4im23oh5pxb6kb5m2uvn5xtzbeku', 'audio/mpeg', 'absent', 1, 0, 0, '1970-01-01 00:00:00+00', NULL, '1970-01-01 00:00:00+00', 0);
INSERT INTO public.public_copy VALUES ('bafkreidostq5rotskrpw4ykslruyk6mhvwhv56szp3oartmy27l7owe7zu.mp3', 'bafkreidostq5rotskrpw4ykslruyk6mhvwhv56szp3oartmy27l7owe7zu', 'audio/mpeg', 'absent', 2, 0, 0, '1970-01-01 00:00:00+00', NULL, '1970-01-01 00:00:00+00', 0);
INSERT INTO public.public_copy VALUES ('bafkreihuijz4qnbin4p7clrg2cp636oig7qxszwwjtrkfk3xkuln34nbge.mp3', 'bafkreihuijz4qnbin4p7clrg2cp636oig7qxszwwjtrkfk3xkuln34nbge', 'audio/mpeg', 'absent', 2, 0, 0, '1970-01-01 00:00:00+00', NULL, '1970-01-01 00:00:00+00', 0);
INSERT INTO public.public_copy VALUES ('bafkreiaudio4.mp3', 'bafkreiaudio4', 'audio/mpeg', 'absent', 1, 0, 0, '1970-01-01 00:00:00+00', NULL, '1970-01-01 00:00:00+00', 0);


--
-- Data for Name: public_hold; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: repo_scan; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: running_request; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: stored_event; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.stored_event VALUES (1, 'did:plc:alice', '07ab1271-a8fb-53f5-b455-13d63cdd3906', 1, 'track.registered.v1', '\x7b2274696d657374616d70223a7b225f747970655f223a226461746574696d655f69736f222c225f646174615f223a22323032362d31312d32345431323a30303a30302e3132333435362b30303a3030227d2c226f726967696e61746f725f746f706963223a22747261636b222c22646964223a226469643a706c633a616c696365222c22747261636b5f6964223a312c227469746c65223a224572737465204175666e61686d6520e2809320c3a4222c22617274697374223a22416c696365222c22617564696f223a7b225f747970655f223a22617564696f222c225f646174615f223a7b22636964223a226261666b72656962367562796b686e6e627375347966766c6e6c736d62696634696d32336f6835707862366b62356d3275766e3578747a62656b75222c2273697a65223a333530302c226d696d65223a22617564696f2f6d706567222c2266696c655f74797065223a226d7033222c226475726174696f6e223a337d7d2c22616c62756d223a2254617065222c226665617475726573223a5b7b225f747970655f223a2266656174757265222c225f646174615f223a7b22646964223a226469643a706c633a6361726f6c222c2268616e646c65223a226361726f6c2e74657374227d7d5d2c2274616773223a5b2261222c2262225d2c226465736372697074696f6e223a22496e206f6e6520676f2e222c22617274776f726b223a6e756c6c2c22737570706f72745f67617465223a6e756c6c2c22756e6c6973746564223a66616c73652c2273656c665f6c6162656c73223a5b5d2c22637265617465645f6174223a22323032362d31312d32345431323a30303a30312e3132335a222c22636f6c6c656374696f6e223a22666d2e706c79722e747261636b222c22726b6579223a22336e33326c746e6c6836323232227d', 'artist', 'test', 'test', '2026-11-27 18:32:42.923267+00');
INSERT INTO public.stored_event VALUES (2, 'did:plc:alice', 'e4c31530-0248-524b-8245-5f656335f16e', 1, 'track.registered.v1', '\x7b2274696d657374616d70223a7b225f747970655f223a226461746574696d655f69736f222c225f646174615f223a22323032362d31312d32345431323a30303a30302e3132333435362b30303a3030227d2c226f726967696e61746f725f746f706963223a22747261636b222c22646964223a226469643a706c633a616c696365222c22747261636b5f6964223a322c227469746c65223a22547261636b2032222c22617274697374223a22416c696365222c22617564696f223a7b225f747970655f223a22617564696f222c225f646174615f223a7b22636964223a226261666b726569646f73747135726f74736b72707734796b736c7275796b366d68767768763536737a70336f6172746d7932376c376f7765377a75222c2273697a65223a333530302c226d696d65223a22617564696f2f6d706567222c2266696c655f74797065223a226d7033222c226475726174696f6e223a337d7d2c22616c62756d223a6e756c6c2c226665617475726573223a5b5d2c2274616773223a5b5d2c226465736372697074696f6e223a6e756c6c2c22617274776f726b223a6e756c6c2c22737570706f72745f67617465223a6e756c6c2c22756e6c6973746564223a66616c73652c2273656c665f6c6162656c73223a5b5d2c22637265617465645f6174223a22323032362d31312d32345431323a30303a30322e3132335a222c22636f6c6c656374696f6e223a22666d2e706c79722e747261636b222c22726b6579223a22336e33326c746f6a7871323232227d', 'artist', 'test', 'test', '2026-11-27 18:32:43.126212+00');
INSERT INTO public.stored_event VALUES (3, 'did:plc:alice', '19ca87a5-a46f-5654-ba91-4eb800ae8118', 1, 'track.registered.v1', '\x7b2274696d657374616d70223a7b225f747970655f223a226461746574696d655f69736f222c225f646174615f223a22323032362d31312d32345431323a30303a30302e3132333435362b30303a3030227d2c226f726967696e61746f725f746f706963223a22747261636b222c22646964223a226469643a706c633a616c696365222c22747261636b5f6964223a332c227469746c65223a22547261636b2033222c22617274697374223a22416c696365222c22617564696f223a7b225f747970655f223a22617564696f222c225f646174615f223a7b22636964223a226261666b7265696875696a7a34716e62696e347037636c72673263703633366f6967377178737a77776a74726b666b33786b756c6e33346e626765222c2273697a65223a333530302c226d696d65223a22617564696f2f6d706567222c2266696c655f74797065223a226d7033222c226475726174696f6e223a337d7d2c22616c62756d223a6e756c6c2c226665617475726573223a5b5d2c2274616773223a5b5d2c226465736372697074696f6e223a6e756c6c2c22617274776f726b223a6e756c6c2c22737570706f72745f67617465223a6e756c6c2c22756e6c6973746564223a66616c73652c2273656c665f6c6162656c73223a5b5d2c22637265617465645f6174223a22323032362d31312d32345431323a30303a30332e3132335a222c22636f6c6c656374696f6e223a22666d2e706c79722e747261636b222c22726b6579223a22336e33326c7470696963323232227d', 'artist', 'test', 'test', '2026-11-27 18:32:43.151391+00');
INSERT INTO public.stored_event VALUES (4, 'did:plc:alice', '07ab1271-a8fb-53f5-b455-13d63cdd3906', 2, 'track.metadata_updated.v1', '\x7b2274696d657374616d70223a7b225f747970655f223a226461746574696d655f69736f222c225f646174615f223a22323032362d31312d32375431383a33323a34332e3339313639382b30303a3030227d2c226368616e676573223a7b227469746c65223a225365636f6e642054686f7567687473222c2274616773223a5b5d7d7d', 'artist', 'test', 'test', '2026-11-27 18:32:43.391768+00');
INSERT INTO public.stored_event VALUES (5, 'did:plc:alice', '07ab1271-a8fb-53f5-b455-13d63cdd3906', 3, 'track.artwork_replaced.v1', '\x7b2274696d657374616d70223a7b225f747970655f223a226461746574696d655f69736f222c225f646174615f223a22323032362d31312d32375431383a33323a34332e3430303535332b30303a3030227d2c22617274776f726b223a7b225f747970655f223a22617274776f726b222c225f646174615f223a7b22636964223a226261666b726569636f76657232222c226d696d65223a22696d6167652f706e67222c2273697a65223a3530322c227468756d626e61696c5f636964223a226261666b7265697468756d6232227d7d7d', 'artist', 'test', 'test', '2026-11-27 18:32:43.400602+00');
INSERT INTO public.stored_event VALUES (6, 'did:plc:alice', 'e4c31530-0248-524b-8245-5f656335f16e', 2, 'track.support_gate_set.v1', '\x7b2274696d657374616d70223a7b225f747970655f223a226461746574696d655f69736f222c225f646174615f223a22323032362d31312d32375431383a33323a34332e3431333239342b30303a3030227d2c2267617465223a7b225f747970655f223a22737570706f72745f67617465222c225f646174615f223a7b2274797065223a22616e79227d7d7d', 'artist', 'test', 'test', '2026-11-27 18:32:43.413352+00');
INSERT INTO public.stored_event VALUES (7, 'did:plc:alice', '19ca87a5-a46f-5654-ba91-4eb800ae8118', 2, 'track.deleted.v1', '\x7b2274696d657374616d70223a7b225f747970655f223a226461746574696d655f69736f222c225f646174615f223a22323032362d31312d32375431383a33323a34382e3738323330312b30303a3030227d7d', 'artist', 'test', 'test', '2026-11-27 18:32:48.782358+00');
INSERT INTO public.stored_event VALUES (8, 'did:plc:bob', '83e1e98e-448b-55fb-9e32-c0f2283bc0ac', 1, 'track.adopted.v1', '\x7b2274696d657374616d70223a7b225f747970655f223a226461746574696d655f69736f222c225f646174615f223a22323032362d31312d32345431323a30303a30302e3132333435362b30303a3030227d2c226f726967696e61746f725f746f706963223a22747261636b222c22646964223a226469643a706c633a626f62222c22747261636b5f6964223a342c227469746c65223a22547261636b2034222c22617274697374223a22416c696365222c22617564696f223a7b225f747970655f223a22617564696f222c225f646174615f223a7b22636964223a226261666b726569617564696f34222c2273697a65223a313030342c226d696d65223a22617564696f2f6d706567222c2266696c655f74797065223a226d7033222c226475726174696f6e223a3138307d7d2c22616c62756d223a6e756c6c2c226665617475726573223a5b5d2c2274616773223a5b5d2c226465736372697074696f6e223a6e756c6c2c22617274776f726b223a6e756c6c2c22737570706f72745f67617465223a6e756c6c2c22756e6c6973746564223a66616c73652c2273656c665f6c6162656c73223a5b5d2c22637265617465645f6174223a22323032362d31312d32345431323a30303a30342e3132335a222c22636f6c6c656374696f6e223a226170702e72656c61792e747261636b222c22726b6579223a22336e33326c7471677975323232222c22757269223a2261743a2f2f6469643a706c633a616c6963652f6170702e72656c61792e747261636b2f336e33326c7471677975323232222c22636964223a22626166797265636f7264222c22626c6f62223a6e756c6c2c22696d6167655f75726c223a6e756c6c7d', 'artist', 'test', 'test', '2026-11-27 18:32:54.051427+00');
INSERT INTO public.stored_event VALUES (9, 'did:plc:alice', '07ab1271-a8fb-53f5-b455-13d63cdd3906', 4, 'track.metadata_updated.v1', '\x7b2274696d657374616d70223a7b225f747970655f223a226461746574696d655f69736f222c225f646174615f223a22323032362d31312d32375431383a33323a35342e3136313130352b30303a3030227d2c226368616e676573223a7b227469746c65223a224e6f74206f6e207468652050445320796574227d7d', 'artist', 'test', 'test', '2026-11-27 18:32:54.161177+00');


--
-- Data for Name: track_id_sequence; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: track_tags; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: track_tags_scratch; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Data for Name: tracks; Type: TABLE DATA; Schema: public; Owner: -
--

INSERT INTO public.tracks VALUES (2, 'did:plc:alice', 'Track 2', 'Alice', NULL, '[]', '[]', NULL, '{"type": "any"}', false, '[]', 'bafkreidostq5rotskrpw4ykslruyk6mhvwhv56szp3oartmy27l7owe7zu', 3500, 'audio/mpeg', 'mp3', 3, NULL, NULL, NULL, NULL, NULL, false, '2026-11-24T12:00:02.123Z', '2026-11-27 18:32:43.413294+00', NULL, NULL, NULL, NULL, false, NULL, 'fm.plyr.track', '3n32ltojxq222', 2, 2, 'track 2
alice
');
INSERT INTO public.tracks VALUES (3, 'did:plc:alice', 'Track 3', 'Alice', NULL, '[]', '[]', NULL, NULL, false, '[]', 'bafkreihuijz4qnbin4p7clrg2cp636oig7qxszwwjtrkfk3xkuln34nbge', 3500, 'audio/mpeg', 'mp3', 3, NULL, NULL, NULL, NULL, NULL, false, '2026-11-24T12:00:03.123Z', '2026-11-27 18:32:48.782301+00', '2026-11-27 18:32:48.782301+00', NULL, NULL, NULL, false, NULL, 'fm.plyr.track', '3n32ltpiic222', 2, 2, 'track 3
alice
');
INSERT INTO public.tracks VALUES (4, 'did:plc:bob', 'Track 4', 'Alice', NULL, '[]', '[]', NULL, NULL, false, '[]', 'bafkreiaudio4', 1004, 'audio/mpeg', 'mp3', 180, NULL, NULL, NULL, NULL, NULL, true, '2026-11-24T12:00:04.123Z', '2026-11-24 12:00:00.123456+00', NULL, NULL, NULL, NULL, false, NULL, 'app.relay.track', '3n32ltqgyu222', 1, 1, 'track 4
alice
');
INSERT INTO public.tracks VALUES (1, 'did:plc:alice', 'Not on the PDS yet', 'Alice', 'Tape', '[{"did": "did:plc:carol", "handle": "carol.test"}]', '[]', 'In one go.', NULL, false, '[]', 'bafkreib6ubykhnnbsu4yfvlnlsmbif4im23oh5pxb6kb5m2uvn5xtzbeku', 3500, 'audio/mpeg', 'mp3', 3, 'bafkreicover2', 'image/png', 502, 'bafkreithumb2', NULL, false, '2026-11-24T12:00:01.123Z', '2026-11-27 18:32:54.161105+00', NULL, NULL, NULL, NULL, false, NULL, 'fm.plyr.track', '3n32ltnlh6222', 4, 4, 'not on the pds yet
alice
tape');


--
-- Data for Name: tracks_scratch; Type: TABLE DATA; Schema: public; Owner: -
--



--
-- Name: delivery_attempt_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.delivery_attempt_id_seq', 7, true);


--
-- Name: stored_event_position_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.stored_event_position_seq', 9, true);


--
-- Name: track_id_sequence_id_seq; Type: SEQUENCE SET; Schema: public; Owner: -
--

SELECT pg_catalog.setval('public.track_id_sequence_id_seq', 1, false);


--
-- Name: alembic_version alembic_version_pkc; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);


--
-- Name: account pk_account; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.account
    ADD CONSTRAINT pk_account PRIMARY KEY (did);


--
-- Name: adoption pk_adoption; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.adoption
    ADD CONSTRAINT pk_adoption PRIMARY KEY (did);


--
-- Name: blob_job pk_blob_job; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.blob_job
    ADD CONSTRAINT pk_blob_job PRIMARY KEY (did, track_id);


--
-- Name: blob_job_scratch pk_blob_job_scratch; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.blob_job_scratch
    ADD CONSTRAINT pk_blob_job_scratch PRIMARY KEY (did, track_id);


--
-- Name: credential pk_credential; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.credential
    ADD CONSTRAINT pk_credential PRIMARY KEY (token_hash);


--
-- Name: delivery_attempt pk_delivery_attempt; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.delivery_attempt
    ADD CONSTRAINT pk_delivery_attempt PRIMARY KEY (id);


--
-- Name: event_tracking pk_event_tracking; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.event_tracking
    ADD CONSTRAINT pk_event_tracking PRIMARY KEY (application_name);


--
-- Name: firehose_cursor pk_firehose_cursor; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.firehose_cursor
    ADD CONSTRAINT pk_firehose_cursor PRIMARY KEY (host);


--
-- Name: history pk_history; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.history
    ADD CONSTRAINT pk_history PRIMARY KEY ("position");


--
-- Name: history_scratch pk_history_scratch; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.history_scratch
    ADD CONSTRAINT pk_history_scratch PRIMARY KEY ("position");


--
-- Name: idempotency pk_idempotency; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.idempotency
    ADD CONSTRAINT pk_idempotency PRIMARY KEY (did, method, route, key);


--
-- Name: job_lease pk_job_lease; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.job_lease
    ADD CONSTRAINT pk_job_lease PRIMARY KEY (name);


--
-- Name: log_incarnation pk_log_incarnation; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.log_incarnation
    ADD CONSTRAINT pk_log_incarnation PRIMARY KEY (id);


--
-- Name: media pk_media; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.media
    ADD CONSTRAINT pk_media PRIMARY KEY (key);


--
-- Name: media_references pk_media_references; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.media_references
    ADD CONSTRAINT pk_media_references PRIMARY KEY (track_id, cid);


--
-- Name: media_references_scratch pk_media_references_scratch; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.media_references_scratch
    ADD CONSTRAINT pk_media_references_scratch PRIMARY KEY (track_id, cid);


--
-- Name: mirror_lane pk_mirror_lane; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.mirror_lane
    ADD CONSTRAINT pk_mirror_lane PRIMARY KEY (did);


--
-- Name: mirror_target pk_mirror_target; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.mirror_target
    ADD CONSTRAINT pk_mirror_target PRIMARY KEY (did, collection, rkey);


--
-- Name: mirror_target_scratch pk_mirror_target_scratch; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.mirror_target_scratch
    ADD CONSTRAINT pk_mirror_target_scratch PRIMARY KEY (did, collection, rkey);


--
-- Name: observed_account pk_observed_account; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.observed_account
    ADD CONSTRAINT pk_observed_account PRIMARY KEY (did);


--
-- Name: pds_host pk_pds_host; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.pds_host
    ADD CONSTRAINT pk_pds_host PRIMARY KEY (host);


--
-- Name: pds_session pk_pds_session; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.pds_session
    ADD CONSTRAINT pk_pds_session PRIMARY KEY (did);


--
-- Name: projection_state pk_projection_state; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.projection_state
    ADD CONSTRAINT pk_projection_state PRIMARY KEY (name);


--
-- Name: public_audio pk_public_audio; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.public_audio
    ADD CONSTRAINT pk_public_audio PRIMARY KEY (track_id, cid);


--
-- Name: public_audio_scratch pk_public_audio_scratch; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.public_audio_scratch
    ADD CONSTRAINT pk_public_audio_scratch PRIMARY KEY (track_id, cid);


--
-- Name: public_copy pk_public_copy; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.public_copy
    ADD CONSTRAINT pk_public_copy PRIMARY KEY (name);


--
-- Name: public_hold pk_public_hold; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.public_hold
    ADD CONSTRAINT pk_public_hold PRIMARY KEY (token);


--
-- Name: repo_scan pk_repo_scan; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.repo_scan
    ADD CONSTRAINT pk_repo_scan PRIMARY KEY (did);


--
-- Name: running_request pk_running_request; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.running_request
    ADD CONSTRAINT pk_running_request PRIMARY KEY (did, method, route, key);


--
-- Name: stored_event pk_stored_event; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.stored_event
    ADD CONSTRAINT pk_stored_event PRIMARY KEY ("position");


--
-- Name: track_id_sequence pk_track_id_sequence; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.track_id_sequence
    ADD CONSTRAINT pk_track_id_sequence PRIMARY KEY (id);


--
-- Name: track_tags pk_track_tags; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.track_tags
    ADD CONSTRAINT pk_track_tags PRIMARY KEY (track_id, tag);


--
-- Name: track_tags_scratch pk_track_tags_scratch; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.track_tags_scratch
    ADD CONSTRAINT pk_track_tags_scratch PRIMARY KEY (track_id, tag);


--
-- Name: tracks pk_tracks; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.tracks
    ADD CONSTRAINT pk_tracks PRIMARY KEY (track_id);


--
-- Name: tracks_scratch pk_tracks_scratch; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.tracks_scratch
    ADD CONSTRAINT pk_tracks_scratch PRIMARY KEY (track_id);


--
-- Name: credential uq_credential_id; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.credential
    ADD CONSTRAINT uq_credential_id UNIQUE (id);


--
-- Name: stored_event uq_stored_event_originator_id; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.stored_event
    ADD CONSTRAINT uq_stored_event_originator_id UNIQUE (originator_id, originator_version);


--
-- Name: tracks uq_tracks_did; Type: CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.tracks
    ADD CONSTRAINT uq_tracks_did UNIQUE (did, collection, rkey);


--
-- Name: ix_account_handle; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_account_handle ON public.account USING btree (handle);


--
-- Name: ix_blob_job_failed; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_blob_job_failed ON public.blob_job USING btree (track_id) WHERE (attempts > 0);


--
-- Name: ix_blob_job_leased; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_blob_job_leased ON public.blob_job USING btree (did) WHERE (lease_until > '1970-01-01 00:00:00+00'::timestamp with time zone);


--
-- Name: ix_blob_job_open; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_blob_job_open ON public.blob_job USING btree (not_before) WHERE (requested OR again);


--
-- Name: ix_credential_did; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_credential_did ON public.credential USING btree (did);


--
-- Name: ix_delivery_attempt_record; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_delivery_attempt_record ON public.delivery_attempt USING btree (did, collection, rkey, gen, id);


--
-- Name: ix_history_did_position; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_history_did_position ON public.history USING btree (did, "position");


--
-- Name: ix_history_track_id_position; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_history_track_id_position ON public.history USING btree (track_id, "position");


--
-- Name: ix_media_references_cid; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_media_references_cid ON public.media_references USING btree (cid);


--
-- Name: ix_media_state_touched_at; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_media_state_touched_at ON public.media USING btree (state, touched_at);


--
-- Name: ix_mirror_lane_due; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_mirror_lane_due ON public.mirror_lane USING btree (host, due_at, did);


--
-- Name: ix_mirror_lane_leased; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_mirror_lane_leased ON public.mirror_lane USING btree (host) WHERE (lease_until > '1970-01-01 00:00:00+00'::timestamp with time zone);


--
-- Name: ix_mirror_lane_probe; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_mirror_lane_probe ON public.mirror_lane USING btree (probe_at);


--
-- Name: ix_mirror_lane_work; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_mirror_lane_work ON public.mirror_lane USING btree (host, due_at) WHERE ((state = 'ready'::text) AND ((due_at < '9999-01-01 00:00:00+00'::timestamp with time zone) OR (backfill_at < '9999-01-01 00:00:00+00'::timestamp with time zone)));


--
-- Name: ix_mirror_target_due; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_mirror_target_due ON public.mirror_target USING btree (did, backfill, (
CASE
    WHEN (NOT ((desired_gen > acked_gen) AND ((state <> 'rejected'::text) OR (failed_gen < desired_gen)) AND ((former AND (cleared_gen >= desired_gen) AND ((state <> 'held'::text) OR (failed_gen < desired_gen))) OR ((NOT former) AND (desired_op = 'delete'::text)) OR ((NOT former) AND (state <> 'held'::text) AND (NOT detached))))) THEN look_at
    WHEN (failed_gen = desired_gen) THEN not_before
    ELSE '1970-01-01 00:00:00+00'::timestamp with time zone
END)) WHERE ((desired_gen > acked_gen) OR (look_at < '9999-01-01 00:00:00+00'::timestamp with time zone));


--
-- Name: ix_mirror_target_next; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_mirror_target_next ON public.mirror_target USING btree (did, (
CASE
    WHEN backfill THEN 2
    WHEN (NOT ((desired_gen > acked_gen) AND ((state <> 'rejected'::text) OR (failed_gen < desired_gen)) AND ((former AND (cleared_gen >= desired_gen) AND ((state <> 'held'::text) OR (failed_gen < desired_gen))) OR ((NOT former) AND (desired_op = 'delete'::text)) OR ((NOT former) AND (state <> 'held'::text) AND (NOT detached))))) THEN 1
    ELSE 0
END), (
CASE
    WHEN (failed_gen = desired_gen) THEN attempts
    ELSE 0
END), ((desired_op <> 'delete'::text)), desired_gen) WHERE (
CASE
    WHEN (NOT ((desired_gen > acked_gen) AND ((state <> 'rejected'::text) OR (failed_gen < desired_gen)) AND ((former AND (cleared_gen >= desired_gen) AND ((state <> 'held'::text) OR (failed_gen < desired_gen))) OR ((NOT former) AND (desired_op = 'delete'::text)) OR ((NOT former) AND (state <> 'held'::text) AND (NOT detached))))) THEN look_at
    WHEN (failed_gen = desired_gen) THEN not_before
    ELSE '1970-01-01 00:00:00+00'::timestamp with time zone
END < '9999-01-01 00:00:00+00'::timestamp with time zone);


--
-- Name: ix_mirror_target_track_id; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_mirror_target_track_id ON public.mirror_target USING btree (track_id);


--
-- Name: ix_mirror_target_troubled; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_mirror_target_troubled ON public.mirror_target USING btree (track_id) WHERE ((state = ANY (ARRAY['rejected'::text, 'backoff'::text, 'held'::text])) OR detached);


--
-- Name: ix_public_audio_name; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_public_audio_name ON public.public_audio USING btree (name);


--
-- Name: ix_public_copy_open; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_public_copy_open ON public.public_copy USING btree (not_before) WHERE ((changes <> seen) OR (state = 'uncertain'::text));


--
-- Name: ix_public_hold_name; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_public_hold_name ON public.public_hold USING btree (name);


--
-- Name: ix_stored_event_did_position; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_stored_event_did_position ON public.stored_event USING btree (did, "position");


--
-- Name: ix_track_tags_tag_track_id; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_track_tags_tag_track_id ON public.track_tags USING btree (tag, track_id);


--
-- Name: ix_tracks_artwork_cid; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_tracks_artwork_cid ON public.tracks USING btree (artwork_cid);


--
-- Name: ix_tracks_artwork_thumbnail_cid; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_tracks_artwork_thumbnail_cid ON public.tracks USING btree (artwork_thumbnail_cid);


--
-- Name: ix_tracks_audio_cid; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_tracks_audio_cid ON public.tracks USING btree (audio_cid);


--
-- Name: ix_tracks_did_track_id; Type: INDEX; Schema: public; Owner: -
--

CREATE INDEX ix_tracks_did_track_id ON public.tracks USING btree (did, track_id);


--
-- Name: uq_media_live_cid; Type: INDEX; Schema: public; Owner: -
--

CREATE UNIQUE INDEX uq_media_live_cid ON public.media USING btree (cid) WHERE (state = 'live'::text);


--
-- Name: uq_mirror_target_track_id; Type: INDEX; Schema: public; Owner: -
--

CREATE UNIQUE INDEX uq_mirror_target_track_id ON public.mirror_target USING btree (track_id) WHERE (NOT former);


--
-- Name: uq_tracks_did_audio_cid; Type: INDEX; Schema: public; Owner: -
--

CREATE UNIQUE INDEX uq_tracks_did_audio_cid ON public.tracks USING btree (did, audio_cid) WHERE ((deleted_at IS NULL) AND (NOT adopted));


--
-- Name: track_tags fk_track_tags_track_id_tracks; Type: FK CONSTRAINT; Schema: public; Owner: -
--

ALTER TABLE ONLY public.track_tags
    ADD CONSTRAINT fk_track_tags_track_id_tracks FOREIGN KEY (track_id) REFERENCES public.tracks(track_id);


--
-- PostgreSQL database dump complete
--


