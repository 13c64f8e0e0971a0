-- Jobs stored by SQL, inside transactions of others: rota.enqueue and rota.enqueue_many (docs/transactional-enqueue.md).
-- Such a transaction may stay open for minutes. So it takes no row and no lock that a server waits for: what servers look up
-- by unique keys carries the number of the transaction here (0: a server's own), and keys are locked so that servers see it.

ALTER TABLE rota.lanes ADD COLUMN tx bigint NOT NULL DEFAULT 0;
ALTER TABLE rota.lanes DROP CONSTRAINT lanes_pkey, ADD PRIMARY KEY (queue, type, priority, tx);
ALTER TABLE rota.kinds ADD COLUMN tx bigint NOT NULL DEFAULT 0;
ALTER TABLE rota.kinds DROP CONSTRAINT kinds_pkey, ADD PRIMARY KEY (queue, type, block, tx);
ALTER TABLE rota.ages ADD COLUMN tx bigint NOT NULL DEFAULT 0;
ALTER TABLE rota.ages DROP CONSTRAINT ages_pkey, ADD PRIMARY KEY (minute, block, tx);

-- What is wrong, as programs read it: constraint_name is the code of docs/errors.md, column_name the field.
CREATE FUNCTION rota._refuse(code text, field text, told text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = told, COLUMN = coalesce(field, ''),
    CONSTRAINT = code;
END $$;

-- The same for a value of the wrong type: the rules of rota.web.wire.
CREATE FUNCTION rota._wrong(name text, field text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  CASE name
    WHEN 'type', 'queue' THEN
      PERFORM rota._refuse('invalid_' || name, field, format('%s must be 1 to 200 of A-Z a-z 0-9 . _ : / -, starting with a letter, digit or _, without ''..''.', name));
    WHEN 'priority' THEN
      PERFORM rota._refuse('invalid_priority', field, 'priority must be an integer from -100 to 100.');
    WHEN 'run_at', 'expires_at' THEN
      PERFORM rota._refuse('invalid_time', field, format('%s must be RFC 3339 with a zone, from 1970 to 9999, such as 2026-01-31T08:30:00Z.', name));
    WHEN 'delay', 'retention' THEN
      PERFORM rota._refuse('invalid_duration', field, format('%s must be from 0 to 315360000 seconds.', name));
    WHEN 'timeout' THEN
      PERFORM rota._refuse('invalid_timeout', field, 'timeout must be more than 0 to 2592000 seconds.');
    WHEN 'max_attempts' THEN
      PERFORM rota._refuse('invalid_max_attempts', field, 'max_attempts must be an integer from 1 to 1000.');
    WHEN 'retry' THEN
      PERFORM rota._refuse('invalid_backoff', field, 'retry must be one of: none; fixed with delay from 0; list with 1 to 1000 delays from 0; exponential with base above 0, factor 1 to 100, max above 0, jitter 0 to 1 (seconds, at most 1e8).');
    WHEN 'tags' THEN
      PERFORM rota._refuse('invalid_tags', field, 'tags must be a list of texts of 1 to 64 characters without control characters, none beginning with ''front:''.');
    WHEN 'headers' THEN
      PERFORM rota._refuse('invalid_headers', field, 'headers must be an object of at most 100 names and 32768 characters; names are tokens, values are texts without control characters.');
    WHEN 'content_type' THEN
      PERFORM rota._refuse('invalid_content_type', field, 'content_type must be a media type such as image/png.');
    WHEN 'payload_base64' THEN
      PERFORM rota._refuse('invalid_base64', field, 'payload_base64 is not base64.');
    WHEN 'unique_key', 'idempotency_key' THEN
      PERFORM rota._refuse('invalid_' || name, field, format('%s must have 1 to 200 bytes and no control characters.', name));
    WHEN 'unique_states' THEN
      PERFORM rota._refuse('invalid_unique_states', field, 'unique_states must be a list of scheduled, pending, running, done, failed, cancelled, with at least scheduled and pending, beside a unique_key.');
  END CASE;
END $$;

-- The code of what is wrong with JSON text, as rota.web.strict has it; NULL: nothing. `most`: levels of lists and objects.
CREATE FUNCTION rota._fault(given text, most integer) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  read text;
  bare text;
  shape text;
  one text;
BEGIN
  BEGIN
    read := given::jsonb::text;
  EXCEPTION
    WHEN untranslatable_character THEN RETURN 'nul_character';
    WHEN numeric_value_out_of_range THEN RETURN 'non_finite_number';
    WHEN statement_too_complex THEN RETURN 'too_deep';
    WHEN data_exception THEN
      -- What reads as JSON all the same has an escape that makes no character.
      BEGIN
        PERFORM given::json;
        RETURN 'invalid_unicode';
      EXCEPTION
        WHEN data_exception THEN RETURN 'invalid_json';
      END;
  END;
  -- Without the texts in it: brackets, colons and numbers are what they seem.
  bare := regexp_replace(given, '"(?:[^"\\]|\\.)*"', '', 'g');
  shape := translate(regexp_replace(bare, '[^][{}]', '', 'g'), '{}', '[]');
  IF length(shape) > 2 * most THEN
    FOR i IN 1 .. most LOOP
      shape := replace(shape, '[]', '');
      EXIT WHEN shape = '';
    END LOOP;
    IF shape <> '' THEN
      RETURN 'too_deep';
    END IF;
  END IF;
  -- A member that is given twice is lost in jsonb, and its colon with it.
  read := regexp_replace(read, '"(?:[^"\\]|\\.)*"', '', 'g');
  IF length(replace(bare, ':', '')) - length(bare) <> length(replace(read, ':', '')) - length(read) THEN
    RETURN 'duplicate_key';
  END IF;
  IF bare ~ '[0-9]{250}|[eE][+]?[0-9]{3}' THEN
    FOR one IN SELECT m[1] FROM regexp_matches(bare, '-?([0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)', 'g') AS m LOOP
      IF one !~ '[.eE]' THEN
        IF length(one) > 4300 THEN
          RETURN 'number_too_large';
        END IF;
      -- From here on it is not the largest number any more that a double holds.
      ELSIF one::numeric >= 2::numeric ^ 1024 - 2::numeric ^ 970 THEN
        RETURN 'non_finite_number';
      END IF;
    END LOOP;
  END IF;
  RETURN NULL;
END $$;

-- Seconds, as JSON has them, in microseconds, rounded as Python does it; -1: no duration that anybody takes.
CREATE FUNCTION rota._micros(seconds text) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  IF seconds ~ '[eE][+-]?[0-9]{4}' THEN
    RETURN CASE WHEN seconds ~ '[eE]-' THEN 0 ELSE -1 END;
  END IF;
  IF abs(seconds::numeric) >= 1e12 THEN
    RETURN -1;
  END IF;
  RETURN round(round(seconds::numeric, 30)::double precision * 1000000)::bigint;
END $$;

-- RFC 3339 with a zone in microseconds since 1970; NULL when it is none, or not from 1970 to 9999.
CREATE FUNCTION rota._time(given text) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  part text[] := regexp_match(given, '^(\d{4}-\d\d-\d\d)[Tt ]((?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d)(?:\.(\d+))?(?:[Zz]|([+-])([01]\d|2[0-3]):?([0-5]\d))$');
  moment bigint;
BEGIN
  IF part IS NULL THEN
    RETURN NULL;
  END IF;
  BEGIN
    moment := extract(epoch FROM (part[1] || ' ' || part[2])::timestamp)::bigint * 1000000;
  EXCEPTION WHEN data_exception THEN
    RETURN NULL;
  END;
  IF part[3] IS NOT NULL THEN
    moment := moment + round(('0.' || left(part[3], 30))::numeric * 1000000);
  END IF;
  IF part[4] IS NOT NULL THEN
    moment := moment - (part[4] || '1')::bigint * (part[5]::bigint * 60 + part[6]::bigint) * 60000000;
  END IF;
  RETURN CASE WHEN moment >= 0 AND moment < 253402300800000000 THEN moment END;
END $$;

-- A version 7 UUID: later ones of one session sort after earlier ones.
CREATE FUNCTION rota._new_id() RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
  micros bigint := extract(epoch FROM clock_timestamp()) * 1000000;
  bytes bytea := uuid_send(gen_random_uuid());
BEGIN
  bytes := overlay(bytes PLACING substring(int8send(micros / 1000) FROM 3) FROM 1 FOR 6);
  -- The version, and 12 bits of the millisecond's fraction.
  bytes := overlay(bytes PLACING substring(int4send((28672 + (micros % 1000) * 4096 / 1000)::integer) FROM 3) FROM 7 FOR 2);
  RETURN encode(bytes, 'hex')::uuid::text;
END $$;

CREATE FUNCTION rota._retry(given json, field text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  kind text;
  names text[];
  one record;
  good boolean := true;
  numbers jsonb := '{}';
  lacks text;
BEGIN
  IF given -> 'kind' IS NULL THEN
    PERFORM rota._refuse('missing_field', field || '.kind', field || '.kind is missing.');
  ELSIF json_typeof(given -> 'kind') <> 'string' THEN
    PERFORM rota._wrong('retry', field);
  END IF;
  kind := given ->> 'kind';
  names := CASE kind WHEN 'none' THEN '{}' WHEN 'fixed' THEN '{delay,back}' WHEN 'list' THEN '{delays}'
                     WHEN 'exponential' THEN '{base,factor,max,jitter}' END;
  IF names IS NULL THEN
    PERFORM rota._wrong('retry', field);
  END IF;
  FOR one IN SELECT key, value FROM json_each(given) WHERE key <> 'kind' LOOP
    IF one.key <> ALL (names) THEN
      PERFORM rota._refuse('unknown_field', field || '.' || left(one.key, 100), format('There is no field %L in a retry of kind %s.', left(one.key, 100), kind));
    ELSIF one.key = 'back' THEN
      good := good AND json_typeof(one.value) = 'boolean';
    ELSIF one.key = 'delays' THEN
      good := good AND json_typeof(one.value) = 'array';
      IF good THEN
        good := (SELECT count(*) BETWEEN 1 AND 1000 AND bool_and(CASE WHEN json_typeof(d) = 'number' THEN rota._micros(d::text) BETWEEN 0 AND 100000000000000 ELSE false END)
                 FROM json_array_elements(one.value) AS d);
      END IF;
    ELSIF json_typeof(one.value) <> 'number' THEN
      good := false;
    ELSE
      numbers := numbers || jsonb_build_object(one.key, round(one.value::text::numeric, 30));
    END IF;
  END LOOP;
  lacks := CASE WHEN kind = 'fixed' AND given -> 'delay' IS NULL THEN 'delay'
                WHEN kind = 'list' AND given -> 'delays' IS NULL THEN 'delays' END;
  IF lacks IS NOT NULL THEN
    PERFORM rota._refuse('missing_field', field || '.' || lacks, format('%s.%s is missing.', field, lacks));
  END IF;
  good := good AND CASE kind
    WHEN 'fixed' THEN (numbers ->> 'delay')::numeric BETWEEN 0 AND 1e8
    WHEN 'exponential' THEN
      coalesce((numbers ->> 'base')::numeric > 0 AND (numbers ->> 'base')::numeric <= 1e8, true)
      AND coalesce((numbers ->> 'factor')::numeric BETWEEN 1 AND 100, true)
      AND coalesce((numbers ->> 'max')::numeric > 0 AND (numbers ->> 'max')::numeric <= 1e8, true)
      AND coalesce((numbers ->> 'jitter')::numeric BETWEEN 0 AND 1, true)
    ELSE true END;
  IF good IS NOT TRUE THEN
    PERFORM rota._wrong('retry', field);
  END IF;
  RETURN CASE kind
    WHEN 'fixed' THEN
      format('{"kind":"fixed","delay":%s%s}', (numbers ->> 'delay')::double precision, CASE WHEN given ->> 'back' = 'true' THEN ',"back":true' END)
    WHEN 'list' THEN
      (SELECT format('{"kind":"list","delays":[%s]}', string_agg(d.value::text::numeric::double precision::text, ',' ORDER BY d.n))
       FROM json_array_elements(given -> 'delays') WITH ORDINALITY AS d (value, n))
    WHEN 'exponential' THEN
      format('{"kind":"exponential","base":%s,"factor":%s,"max":%s,"jitter":%s}',
             coalesce((numbers ->> 'base')::double precision, 2), coalesce((numbers ->> 'factor')::double precision, 2),
             coalesce((numbers ->> 'max')::double precision, 3600), coalesce((numbers ->> 'jitter')::double precision, 0.2))
    ELSE '{"kind":"none"}' END;
END $$;

-- One thing that a fingerprint is made of, with its length, so that no two things can be one.
CREATE FUNCTION rota._fact(given bytea) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
  SELECT convert_to(octet_length(given) || ':', 'UTF8') || given
$$;
CREATE FUNCTION rota._fact(given text) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
  SELECT rota._fact(convert_to(given, 'UTF8'))
$$;

-- One job as POST /v1/jobs takes it, checked, with what it leaves open filled in: rota.model.spec in SQL. `place` is what its
-- fields are named after ('jobs[3].'), `limits` what the servers' settings say.
CREATE FUNCTION rota._job(spec json, place text, moment bigint, limits jsonb, OUT job rota.jobs, OUT key text, OUT digest bytea)
LANGUAGE plpgsql AS $$
DECLARE
  fault text;
  one record;
  kind text;
  said text;
  part record;
  seen text[] := '{}';
  facts bytea;
  payload text;
  packed text;
  delay bigint;
  told bigint;
  tries integer;
  keeps bigint;
  runs bigint;
  states text[];
  names integer := 0;
  size integer := 0;
  wrong boolean;
BEGIN
  IF json_typeof(spec) <> 'object' THEN
    PERFORM rota._refuse('wrong_type', rtrim(place, '.'), 'A job must be an object.');
  END IF;
  fault := rota._fault(spec::text, 65);
  IF fault IS NOT NULL THEN
    -- json_each stumbles over bad escapes, too: without the backslash they are texts like others.
    spec := regexp_replace(spec::text, '\\u(?=0000|[dD][89a-fA-F])', '/bad-escape-', 'g')::json;
    said := coalesce(
      (SELECT m.key FROM json_each(spec) AS m GROUP BY m.key HAVING fault = 'duplicate_key' AND count(*) > 1 LIMIT 1),
      (SELECT m.key FROM json_each(spec) AS m
       WHERE strpos(m.value::text, '/bad-escape-') > 0 OR rota._fault(m.value::text, 64) IS NOT NULL LIMIT 1), '');
    PERFORM rota._refuse(fault, rtrim(place || said, '.'), format('%s holds %s.', coalesce(nullif(rtrim(place || said, '.'), ''), 'A name'), CASE fault
      WHEN 'nul_character' THEN 'the character NUL (\u0000), which is not allowed'
      WHEN 'invalid_unicode' THEN 'half of a surrogate pair'
      WHEN 'too_deep' THEN 'lists and objects more than 64 levels deep'
      WHEN 'duplicate_key' THEN 'a key that is given twice in one object'
      WHEN 'number_too_large' THEN 'a whole number of more than 4300 digits'
      ELSE 'a number beyond what a number can hold' END));
  END IF;

  job.priority := 0;
  FOR one IN SELECT m.key, m.value FROM json_each(spec) AS m LOOP
    kind := json_typeof(one.value);
    IF one.key = 'payload' THEN
      payload := one.value::text;
      CONTINUE;
    END IF;
    IF kind = 'null' AND one.key NOT IN ('type', 'priority', 'tags') THEN
      CONTINUE WHEN one.key IN ('payload_base64', 'content_type', 'headers', 'queue', 'run_at', 'delay', 'expires_at', 'timeout',
                                'max_attempts', 'retry', 'unique_key', 'unique_states', 'idempotency_key', 'retention');
    END IF;
    said := CASE WHEN kind IN ('string', 'number') THEN one.value #>> '{}' END;
    -- Of a wrong type, or not in the form that all values of the field have.
    wrong := CASE
      WHEN one.key IN ('type', 'queue') THEN
        kind <> 'string' OR said COLLATE "C" !~ '^[A-Za-z0-9_](?:[A-Za-z0-9_:/-]|\.(?!\.)){0,199}$'
      WHEN one.key IN ('unique_key', 'idempotency_key') THEN
        kind <> 'string' OR octet_length(said) NOT BETWEEN 1 AND 200 OR said ~ '[\x01-\x1f\x7f]'
      WHEN one.key = 'content_type' THEN kind <> 'string'
      WHEN one.key = 'payload_base64' THEN
        kind <> 'string'
        OR said COLLATE "C" !~ '^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$'
      WHEN one.key IN ('priority', 'max_attempts') THEN kind <> 'number' OR said !~ '^-?[0-9]{1,9}$'
      WHEN one.key IN ('delay', 'timeout', 'retention') THEN kind <> 'number'
      WHEN one.key IN ('run_at', 'expires_at') THEN kind <> 'string' OR rota._time(said) IS NULL
      WHEN one.key IN ('retry', 'headers') THEN kind <> 'object'
      WHEN one.key IN ('tags', 'unique_states') THEN kind <> 'array'
    END;
    IF wrong THEN
      PERFORM rota._wrong(one.key, place || one.key);
    END IF;
    CASE one.key
      WHEN 'type' THEN job.type := said;
      WHEN 'queue' THEN job.queue := said;
      WHEN 'priority' THEN
        job.priority := said;
        IF job.priority NOT BETWEEN -100 AND 100 THEN
          PERFORM rota._wrong(one.key, place || one.key);
        END IF;
      WHEN 'max_attempts' THEN
        tries := said;
        IF tries NOT BETWEEN 1 AND 1000 THEN
          PERFORM rota._wrong(one.key, place || one.key);
        END IF;
      WHEN 'delay', 'timeout', 'retention' THEN
        told := rota._micros(said);
        IF one.key = 'timeout' AND told NOT BETWEEN 1000 AND 2592000000000 OR told NOT BETWEEN 0 AND 315360000000000 THEN
          PERFORM rota._wrong(one.key, place || one.key);
        END IF;
        IF one.key = 'delay' THEN
          delay := told;
        ELSIF one.key = 'timeout' THEN
          job.timeout := told;
        ELSE
          keeps := told;
        END IF;
      WHEN 'run_at' THEN runs := rota._time(said);
      WHEN 'expires_at' THEN job.expires_at := rota._time(said);
      WHEN 'retry' THEN job.retry := convert_to(rota._retry(one.value, place || 'retry'), 'UTF8');
      WHEN 'unique_key' THEN job.unique_key := said;
      WHEN 'idempotency_key' THEN key := said;
      WHEN 'content_type' THEN job.content_type := said;
      WHEN 'payload_base64' THEN packed := said;
      WHEN 'tags' THEN
        FOR part IN SELECT e.value, e.value #>> '{}' AS tag FROM json_array_elements(one.value) AS e (value) LOOP
          IF json_typeof(part.value) <> 'string' OR char_length(part.tag) NOT BETWEEN 1 AND 64
             OR part.tag ~ '[\x01-\x1f\x7f]' OR starts_with(part.tag, 'front:') THEN
            PERFORM rota._wrong('tags', place || 'tags');
          END IF;
          IF job.tags IS NULL OR part.tag <> ALL (job.tags) THEN
            job.tags := job.tags || part.tag;
          END IF;
          IF cardinality(job.tags) > 32 THEN
            PERFORM rota._refuse('too_many_tags', place || 'tags', 'tags: at most 32.');
          END IF;
        END LOOP;
      WHEN 'unique_states' THEN
        states := '{}';
        FOR part IN SELECT e.value, e.value #>> '{}' AS state FROM json_array_elements(one.value) AS e (value) LOOP
          IF json_typeof(part.value) <> 'string'
             OR part.state NOT IN ('scheduled', 'pending', 'running', 'done', 'failed', 'cancelled') THEN
            PERFORM rota._wrong(one.key, place || one.key);
          END IF;
          states := states || part.state;
        END LOOP;
      WHEN 'headers' THEN
        FOR part IN SELECT m.key, m.value, m.value #>> '{}' AS text FROM json_each(one.value) AS m LOOP
          names := names + 1;
          size := size + char_length(part.key) + coalesce(char_length(part.text), 0);
          IF json_typeof(part.value) <> 'string' OR part.text ~ '[\x01-\x1f\x7f]' OR names > 100 OR size > 32768
             OR part.key COLLATE "C" !~ '^[A-Za-z0-9!#$%&''*+.^_`|~-]{1,200}$' THEN
            PERFORM rota._wrong('headers', place || 'headers');
          END IF;
        END LOOP;
        IF names > 0 THEN
          job.headers := convert_to(one.value::text, 'UTF8');
        END IF;
      ELSE
        PERFORM rota._refuse('unknown_field', place || left(one.key, 100), format('There is no field %L in a job.', left(one.key, 100)));
    END CASE;
  END LOOP;

  IF job.type IS NULL THEN
    PERFORM rota._refuse('missing_field', place || 'type', 'A job needs the field type.');
  END IF;
  job.queue := coalesce(job.queue, 'default');
  IF packed IS NULL THEN
    IF job.content_type <> 'application/json' THEN
      PERFORM rota._refuse('conflicting_fields', place || 'content_type', 'content_type goes with bytes; a payload of JSON is always application/json.');
    END IF;
    job.content_type := NULL;
    job.payload := convert_to(coalesce(payload, 'null'), 'UTF8');
  ELSE
    IF payload IS NOT NULL THEN
      PERFORM rota._refuse('conflicting_fields', place || 'payload_base64', 'Give payload or payload_base64, not both.');
    END IF;
    job.content_type := coalesce(job.content_type, 'application/octet-stream');
    IF char_length(job.content_type) > 200
       OR job.content_type COLLATE "C" !~ '^[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+(?: *;[ -~]*)?$' THEN
      PERFORM rota._wrong('content_type', place || 'content_type');
    END IF;
    job.payload := decode(packed, 'base64');
  END IF;
  IF octet_length(job.payload) > coalesce((limits ->> 'payload_bytes')::bigint, 1048576) THEN
    PERFORM rota._refuse('payload_too_large', place || 'payload', format('payload has %s bytes; at most %s are taken.',
      octet_length(job.payload), coalesce((limits ->> 'payload_bytes')::bigint, 1048576)));
  END IF;
  IF runs IS NOT NULL AND delay IS NOT NULL THEN
    PERFORM rota._refuse('conflicting_fields', place || 'delay', 'Give run_at or delay, not both.');
  END IF;
  job.run_at := coalesce(runs, moment + delay, moment);
  IF job.expires_at <= greatest(job.run_at, moment) THEN
    PERFORM rota._refuse('expires_before_start', place || 'expires_at', 'expires_at must be later than the time the job may start.');
  END IF;
  IF job.unique_key IS NULL THEN
    IF states IS NOT NULL THEN
      PERFORM rota._wrong('unique_states', place || 'unique_states');
    END IF;
  ELSE
    states := coalesce(states, '{scheduled,pending,running}');
    IF NOT states @> '{scheduled,pending}' THEN
      PERFORM rota._wrong('unique_states', place || 'unique_states');
    END IF;
    job.unique_states := array_to_string(states, ',');
    job.unique_held := job.unique_key;
  END IF;

  job.id := rota._new_id();
  job.state := CASE WHEN job.run_at > moment THEN 'scheduled' ELSE 'pending' END;
  job.created_at := moment;
  job.max_attempts := coalesce(tries, (limits ->> 'max_attempts')::integer, 10);
  job.retention := coalesce(keeps, (limits ->> 'retention')::bigint, 604800000000);

  IF key IS NOT NULL THEN
    -- As rota.model.fingerprint has it.
    facts := rota._fact('type') || rota._fact(job.type) || rota._fact('queue') || rota._fact(job.queue)
      || rota._fact('priority') || rota._fact(job.priority::text) || rota._fact('payload') || rota._fact(job.payload);
    FOR part IN
      SELECT f.name, f.value FROM (VALUES
        (1, 'content_type', job.content_type), (2, 'delay', delay::text), (3, 'run_at', runs::text),
        (4, 'expires_at', job.expires_at::text), (5, 'timeout', job.timeout::text), (6, 'max_attempts', tries::text),
        (7, 'retention', keeps::text), (8, 'retry', rota._retry_fact(convert_from(job.retry, 'UTF8')::json)),
        (9, 'unique_key', job.unique_key), (10, 'unique_states', job.unique_states)
      ) AS f (n, name, value) WHERE f.value IS NOT NULL ORDER BY f.n
    LOOP
      facts := facts || rota._fact(part.name) || rota._fact(part.value);
    END LOOP;
    FOR i IN 1 .. coalesce(cardinality(job.tags), 0) LOOP
      facts := facts || rota._fact('tag') || rota._fact(job.tags[i]);
    END LOOP;
    FOR part IN
      SELECT m.key, m.value #>> '{}' AS text FROM json_each(convert_from(job.headers, 'UTF8')::json) AS m
      WHERE lower(m.key) NOT IN ('traceparent', 'tracestate') ORDER BY m.key COLLATE "C"
    LOOP
      facts := facts || rota._fact('header') || rota._fact(part.key) || rota._fact(part.text);
    END LOOP;
    digest := substring(sha256(facts) FROM 1 FOR 16);
  END IF;
END $$;

CREATE FUNCTION rota._retry_fact(given json) RETURNS text LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE given ->> 'kind'
    WHEN 'fixed' THEN concat_ws(' ', 'fixed', rota._micros(given ->> 'delay'), CASE WHEN given ->> 'back' = 'true' THEN 1 ELSE 0 END)
    WHEN 'list' THEN (SELECT 'list ' || string_agg(rota._micros(d.value::text)::text, ' ' ORDER BY d.n)
                      FROM json_array_elements(given -> 'delays') WITH ORDINALITY AS d (value, n))
    WHEN 'exponential' THEN concat_ws(' ', 'exponential', rota._micros(given ->> 'base'), rota._micros(given ->> 'factor'),
                                      rota._micros(given ->> 'max'), rota._micros(given ->> 'jitter'))
    ELSE given ->> 'kind' END
$$;

-- Checked jobs go in, with all that servers keep of them.
CREATE FUNCTION rota._insert(jobs rota.jobs[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  here bigint := pg_current_xact_id()::text::bigint;
  made bigint;
BEGIN
  WITH new AS (
    INSERT INTO rota.jobs (id, payload, created_at, run_at, queue, type, state, priority, max_attempts, expires_at, timeout,
                           retention, retry, tags, unique_key, unique_states, unique_held, content_type, headers)
    SELECT j.id, j.payload, j.created_at, j.run_at, j.queue, j.type, j.state, j.priority, j.max_attempts, j.expires_at, j.timeout,
           j.retention, j.retry, j.tags, j.unique_key, j.unique_states, j.unique_held, j.content_type, j.headers
    FROM unnest(jobs) WITH ORDINALITY AS j ORDER BY j.ordinality
    ON CONFLICT DO NOTHING
    RETURNING *
  ), lane AS (
    INSERT INTO rota.lanes (queue, type, priority, tx)
    SELECT DISTINCT queue, type, priority, here FROM new
    WHERE NOT EXISTS (
      SELECT 1 FROM rota.lanes AS l WHERE l.queue = new.queue AND l.type = new.type AND l.priority = new.priority)
    ON CONFLICT DO NOTHING
  ), kind AS (
    INSERT INTO rota.kinds (queue, type, block, tx) SELECT DISTINCT queue, type, seq >> 8, here FROM new ON CONFLICT DO NOTHING
  ), age AS (
    INSERT INTO rota.ages (minute, block, tx) SELECT DISTINCT created_at / 60000000, seq >> 12, here FROM new ON CONFLICT DO NOTHING
  ), tag AS (
    INSERT INTO rota.tags (tag, seq) SELECT t.tag, new.seq FROM new CROSS JOIN unnest(new.tags) AS t (tag)
  ), change AS (
    -- Below zero: servers pass over the numbers of changes that they have counted, and this one may come late.
    INSERT INTO rota.changes (n, queue, type, state, jobs) OVERRIDING SYSTEM VALUE
    SELECT -nextval('rota.changes_n_seq'), c.queue, c.type, c.state, c.jobs
    FROM (SELECT queue, type, state, count(*) AS jobs FROM new GROUP BY queue, type, state) AS c
  ), feed AS MATERIALIZED (
    SELECT feed, held FROM rota.feeding WHERE events ? 'enqueued'
  ), event AS (
    INSERT INTO rota.events (feed, at, event, id, type, queue, state)
    SELECT f.feed, new.created_at, 'enqueued', new.id, new.type, new.queue, new.state FROM feed AS f CROSS JOIN new ORDER BY new.seq
  )
  SELECT count(*) INTO made FROM new;
  IF made <> cardinality(jobs) THEN
    RAISE EXCEPTION USING ERRCODE = 'serialization_failure',
      MESSAGE = 'A job with the same unique key was stored meanwhile; run the transaction again.';
  END IF;
END $$;

-- Nobody else stores jobs with these keys until the end of the transaction. Servers do not wait for these locks: they look
-- whether they are taken (sql/enqueue.sql). Whoever had looked already holds the lock of a bucket until its jobs are there.
CREATE FUNCTION rota._lock(names text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  one bigint;
BEGIN
  FOR one IN SELECT DISTINCT hashtextextended(n, 7) FROM unnest(names) AS n ORDER BY 1 LOOP
    PERFORM pg_advisory_xact_lock(one);
  END LOOP;
  BEGIN
    FOR one IN SELECT DISTINCT hashtextextended(n, 0) & 1023 FROM unnest(names) AS n ORDER BY 1 LOOP
      PERFORM pg_advisory_xact_lock_shared(1377818154, one::integer);
    END LOOP;
    -- Locks of a part that is rolled back are given up at once.
    RAISE EXCEPTION USING ERRCODE = 'RT000';
  EXCEPTION WHEN SQLSTATE 'RT000' THEN
    NULL;
  END;
END $$;

-- All jobs of a call: an answer for each, in order.
CREATE FUNCTION rota._enqueue(specs json, many boolean)
RETURNS TABLE (id text, state text, created boolean, why text) LANGUAGE plpgsql AS $$
DECLARE
  moment bigint := extract(epoch FROM clock_timestamp()) * 1000000;
  limits jsonb := (SELECT convert_from(n.body, 'UTF8')::jsonb FROM rota.notes AS n WHERE n.kind = 'limits' AND n.key = 'enqueue');
  given json;
  made record;
  all_of_them record;
  jobs rota.jobs[] := '{}';
  keys text[] := '{}';
  digests bytea[] := '{}';
  names text[] := '{}';
  ready rota.jobs[] := '{}';
  queues text[] := '{}';
  job rota.jobs;
  known record;
  count integer;
BEGIN
  IF specs IS NULL OR json_typeof(specs) <> 'array' THEN
    PERFORM rota._refuse('wrong_type', 'jobs', 'jobs must be a list of objects.');
  END IF;
  count := json_array_length(specs);
  IF count NOT BETWEEN 1 AND 10000 THEN
    PERFORM rota._refuse('invalid_batch', 'jobs', format('jobs must hold 1 to 10000 jobs, not %s.', count));
  END IF;
  count := 0;
  FOR given IN SELECT e.value FROM json_array_elements(specs) AS e LOOP
    made := rota._job(given, CASE WHEN many THEN format('jobs[%s].', count) ELSE '' END, moment, limits);
    count := count + 1;
    jobs := jobs || made.job;
    keys := keys || made.key;
    digests := digests || made.digest;
    names := names || CASE WHEN made.key IS NOT NULL THEN ARRAY['i' || made.key] ELSE '{}' END
                   || CASE WHEN (made.job).unique_key IS NOT NULL THEN ARRAY['u' || (made.job).unique_key] ELSE '{}' END;
  END LOOP;
  IF cardinality(names) > 1000 THEN
    PERFORM rota._refuse('invalid_batch', 'jobs', format('Jobs of one call may have 1000 keys, not %s: each takes a lock of the database until the transaction ends.', cardinality(names)));
  END IF;
  IF cardinality(names) > 0 THEN
    PERFORM rota._lock(names);
  END IF;

  FOR i IN 1 .. count LOOP
    job := jobs[i];
    created := true;
    why := NULL;
    id := job.id;
    state := job.state;
    IF keys[i] IS NOT NULL OR job.unique_key IS NOT NULL THEN
      -- What is looked up now is what was written up to now.
      IF cardinality(ready) > 0 THEN
        PERFORM rota._insert(ready);
        ready := '{}';
      END IF;
      IF keys[i] IS NOT NULL THEN
        SELECT k.fingerprint, k.ids INTO known FROM rota.keys AS k WHERE k.key = keys[i] AND k.until > moment;
        IF FOUND THEN
          IF known.fingerprint <> digests[i] OR cardinality(known.ids) <> 1 THEN
            RAISE EXCEPTION USING ERRCODE = 'unique_violation', CONSTRAINT = 'idempotency_mismatch',
              COLUMN = CASE WHEN many THEN format('jobs[%s].', i - 1) ELSE '' END || 'idempotency_key',
              MESSAGE = 'This idempotency_key was used before with another body; nothing was stored.';
          END IF;
          id := known.ids[1];
          state := (SELECT j.state FROM rota.jobs AS j WHERE j.id = known.ids[1]);
          created := false;
          why := 'idempotency';
        END IF;
      END IF;
      IF created AND job.unique_key IS NOT NULL THEN
        SELECT j.id, j.state INTO known FROM rota.jobs AS j WHERE j.unique_held = job.unique_key;
        IF FOUND THEN
          id := known.id;
          state := known.state;
          created := false;
          why := 'unique';
        END IF;
      END IF;
      IF keys[i] IS NOT NULL AND why IS DISTINCT FROM 'idempotency' THEN
        INSERT INTO rota.keys AS k (key, until, fingerprint, ids) VALUES (keys[i], moment + 86400000000, digests[i], ARRAY[id])
        ON CONFLICT (key) DO UPDATE SET until = excluded.until, fingerprint = excluded.fingerprint, ids = excluded.ids;
      END IF;
    END IF;
    IF created THEN
      ready := ready || job;
      IF state = 'pending' AND job.queue <> ALL (queues) THEN
        queues := queues || job.queue;
      END IF;
    END IF;
    RETURN NEXT;
  END LOOP;
  IF cardinality(ready) > 0 THEN
    PERFORM rota._insert(ready);
  END IF;
  -- Sent when the transaction commits; the same words twice are sent once. Transactions that are prepared cannot send any.
  IF coalesce(current_setting('rota.notify', true), '') NOT IN ('off', 'false', 'no', '0') THEN
    PERFORM pg_notify('rota_queues', format('["sql",null,null,"%s"]', q)) FROM unnest(queues) AS q;
  END IF;
END $$;

-- The arguments of rota.enqueue as a job in JSON. `payload` is JSON text of one value.
CREATE FUNCTION rota._enqueue_one(
  type text, payload text, packed bytea, content_type text, queue text, priority integer, delay interval, run_at timestamptz,
  expires_at timestamptz, timeout interval, max_attempts integer, retry jsonb, tags text[], headers jsonb, unique_key text,
  unique_states text[], idempotency_key text, retention interval
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  spec text;
BEGIN
  IF packed IS NULL THEN
    payload := coalesce(payload, 'null');
    BEGIN
      PERFORM payload::json;
    EXCEPTION WHEN data_exception OR statement_too_complex THEN
      PERFORM rota._refuse('invalid_json', 'payload', 'payload is not JSON: ' || SQLERRM || '. A text as such is to_json(text).');
    END;
  END IF;
  IF delay IS NOT NULL AND NOT isfinite(delay) OR retention IS NOT NULL AND NOT isfinite(retention) THEN
    PERFORM rota._wrong('delay', CASE WHEN delay IS NOT NULL AND NOT isfinite(delay) THEN 'delay' ELSE 'retention' END);
  END IF;
  IF timeout IS NOT NULL AND NOT isfinite(timeout) THEN
    PERFORM rota._wrong('timeout', 'timeout');
  END IF;
  IF NOT (isfinite(run_at) AND run_at >= 'epoch') THEN
    PERFORM rota._wrong('run_at', 'run_at');
  END IF;
  IF NOT (isfinite(expires_at) AND expires_at >= 'epoch') THEN
    PERFORM rota._wrong('expires_at', 'expires_at');
  END IF;
  spec := '{' || concat_ws(',',
    '"type":' || coalesce(to_json(type)::text, 'null'),
    '"payload":' || CASE WHEN packed IS NULL THEN payload END,
    '"payload_base64":"' || translate(encode(packed, 'base64'), E'\n', '') || '"',
    '"content_type":' || to_json(content_type),
    '"queue":' || to_json(queue),
    '"priority":' || priority,
    '"delay":' || extract(epoch FROM delay),
    '"run_at":"' || to_char(run_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '"',
    '"expires_at":"' || to_char(expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || '"',
    '"timeout":' || extract(epoch FROM timeout),
    '"max_attempts":' || max_attempts,
    '"retry":' || retry::text,
    '"tags":' || array_to_json(tags),
    '"headers":' || headers::text,
    '"unique_key":' || to_json(unique_key),
    '"unique_states":' || array_to_json(unique_states),
    '"idempotency_key":' || to_json(idempotency_key),
    '"retention":' || extract(epoch FROM retention)) || '}';
  RETURN (SELECT e.id FROM rota._enqueue(('[' || spec || ']')::json, false) AS e);
END $$;

-- What everybody may call who was granted it. Nothing of these changes its meaning: programs in all languages are written
-- against them. They run with the rights of the schema's owner, and no setting or object of the caller's changes what they do.
CREATE FUNCTION rota.enqueue(
  type text, payload text DEFAULT NULL, queue text DEFAULT NULL, priority integer DEFAULT 0, delay interval DEFAULT NULL,
  run_at timestamptz DEFAULT NULL, expires_at timestamptz DEFAULT NULL, timeout interval DEFAULT NULL,
  max_attempts integer DEFAULT NULL, retry jsonb DEFAULT NULL, tags text[] DEFAULT NULL, headers jsonb DEFAULT NULL,
  unique_key text DEFAULT NULL, unique_states text[] DEFAULT NULL, idempotency_key text DEFAULT NULL,
  retention interval DEFAULT NULL
) RETURNS text LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on SET extra_float_digits = 1 SET enable_seqscan = off AS $$
BEGIN
  RETURN rota._enqueue_one(type, payload, NULL, NULL, queue, priority, delay, run_at, expires_at, timeout, max_attempts, retry, tags, headers,
    unique_key, unique_states, idempotency_key, retention);
END $$;
CREATE FUNCTION rota.enqueue(
  type text, payload json, queue text DEFAULT NULL, priority integer DEFAULT 0, delay interval DEFAULT NULL,
  run_at timestamptz DEFAULT NULL, expires_at timestamptz DEFAULT NULL, timeout interval DEFAULT NULL,
  max_attempts integer DEFAULT NULL, retry jsonb DEFAULT NULL, tags text[] DEFAULT NULL, headers jsonb DEFAULT NULL,
  unique_key text DEFAULT NULL, unique_states text[] DEFAULT NULL, idempotency_key text DEFAULT NULL,
  retention interval DEFAULT NULL
) RETURNS text LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on SET extra_float_digits = 1 SET enable_seqscan = off AS $$
BEGIN
  RETURN rota._enqueue_one(type, payload::text, NULL, NULL, queue, priority, delay, run_at, expires_at, timeout, max_attempts, retry, tags, headers,
    unique_key, unique_states, idempotency_key, retention);
END $$;
CREATE FUNCTION rota.enqueue(
  type text, payload jsonb, queue text DEFAULT NULL, priority integer DEFAULT 0, delay interval DEFAULT NULL,
  run_at timestamptz DEFAULT NULL, expires_at timestamptz DEFAULT NULL, timeout interval DEFAULT NULL,
  max_attempts integer DEFAULT NULL, retry jsonb DEFAULT NULL, tags text[] DEFAULT NULL, headers jsonb DEFAULT NULL,
  unique_key text DEFAULT NULL, unique_states text[] DEFAULT NULL, idempotency_key text DEFAULT NULL,
  retention interval DEFAULT NULL
) RETURNS text LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on SET extra_float_digits = 1 SET enable_seqscan = off AS $$
BEGIN
  RETURN rota._enqueue_one(type, payload::text, NULL, NULL, queue, priority, delay, run_at, expires_at, timeout, max_attempts, retry, tags, headers,
    unique_key, unique_states, idempotency_key, retention);
END $$;
CREATE FUNCTION rota.enqueue(
  type text, payload bytea, queue text DEFAULT NULL, priority integer DEFAULT 0, delay interval DEFAULT NULL,
  run_at timestamptz DEFAULT NULL, expires_at timestamptz DEFAULT NULL, timeout interval DEFAULT NULL,
  max_attempts integer DEFAULT NULL, retry jsonb DEFAULT NULL, tags text[] DEFAULT NULL, headers jsonb DEFAULT NULL,
  unique_key text DEFAULT NULL, unique_states text[] DEFAULT NULL, idempotency_key text DEFAULT NULL,
  retention interval DEFAULT NULL,
  content_type text DEFAULT 'application/octet-stream'
) RETURNS text LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on SET extra_float_digits = 1 SET enable_seqscan = off AS $$
BEGIN
  RETURN rota._enqueue_one(type, NULL, coalesce(payload, ''), content_type, queue, priority, delay, run_at, expires_at, timeout, max_attempts, retry, tags, headers,
    unique_key, unique_states, idempotency_key, retention);
END $$;
CREATE FUNCTION rota.enqueue_many(jobs json)
RETURNS TABLE (id text, state text, created boolean, why text) LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on SET extra_float_digits = 1 SET enable_seqscan = off AS $$
BEGIN
  RETURN QUERY SELECT * FROM rota._enqueue(jobs, true);
END $$;
CREATE FUNCTION rota.enqueue_many(jobs jsonb)
RETURNS TABLE (id text, state text, created boolean, why text) LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on SET extra_float_digits = 1 SET enable_seqscan = off AS $$
BEGIN
  RETURN QUERY SELECT * FROM rota._enqueue(jobs::text::json, true);
END $$;
CREATE FUNCTION rota.enqueue_many(jobs text)
RETURNS TABLE (id text, state text, created boolean, why text) LANGUAGE plpgsql SECURITY DEFINER
  SET search_path = pg_catalog, pg_temp SET standard_conforming_strings = on SET extra_float_digits = 1 SET enable_seqscan = off AS $$
BEGIN
  BEGIN
    PERFORM jobs::json;
  EXCEPTION WHEN data_exception OR statement_too_complex THEN
    PERFORM rota._refuse('invalid_json', 'jobs', 'jobs is not JSON: ' || SQLERRM || '.');
  END;
  RETURN QUERY SELECT * FROM rota._enqueue(jobs::json, true);
END $$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA rota FROM PUBLIC;
