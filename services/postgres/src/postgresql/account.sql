WITH RECURSIVE
-- Each operator and function here has exactly the types that it is called with. PostgreSQL takes an
-- exact match first, so an object planted in pg_catalog is never a better match. That is why a
-- number that is compared with an oid is between apostrophes, why a name is cast, and why nothing
-- takes an `anyarray`.
{needed}-- The account's own roles, and the roles that it can become, with or without inheriting.
-- `start` is its own role, `way` the role that `start` is a direct member of.
member (oid, start, way) AS (
    SELECT oid, oid, NULL::pg_catalog.oid FROM pg_catalog.pg_roles WHERE rolname IN (CURRENT_USER, SESSION_USER)
    UNION
    SELECT m.roleid, member.start, COALESCE(member.way, m.roleid)
    FROM pg_catalog.pg_auth_members AS m JOIN member ON m.member = member.oid
),
role AS (
    SELECT DISTINCT ON (r.oid) r.oid, r.rolname, r.rolsuper, r.rolcreaterole, r.rolcreatedb, r.rolreplication, r.rolbypassrls,
        member.start, member.way
    FROM member JOIN pg_catalog.pg_roles AS r ON r.oid = member.oid
    ORDER BY r.oid, member.way NULLS FIRST, member.start
),
-- A superuser owns everything: the list would have no end.
mine (oids) AS (
    SELECT CASE WHEN EXISTS (SELECT FROM role WHERE rolsuper) THEN '{}' ELSE ARRAY(SELECT oid FROM role) END
),
-- The system's schemas. No user can create a schema whose name begins with `pg_`: PostgreSQL
-- refuses it.
system (oids) AS (
    SELECT ARRAY(
        SELECT oid FROM pg_catalog.pg_namespace
        WHERE nspname = 'information_schema' OR pg_catalog.left(nspname::pg_catalog.text, 3) = 'pg_'
    )
),
-- The objects in these schemas belong to a session, and end with it. The schemas themselves are the
-- system's.
hidden (oids) AS (
    SELECT ARRAY(
        SELECT oid FROM pg_catalog.pg_namespace
        WHERE pg_catalog.left(nspname::pg_catalog.text, 8) = 'pg_temp_' OR pg_catalog.left(nspname::pg_catalog.text, 14) = 'pg_toast_temp_'
    )
),
-- pg_class is 1259, pg_proc 1255, pg_namespace 2615, pg_database 1262, pg_language 2612. An object
-- that `initdb` made has an oid below 16384 (FirstNormalObjectId), and so has an object made in
-- single-user mode.
object (class, oid, sub, kind, space, name, part, owner, acl, mark) AS (
    SELECT '1259'::pg_catalog.oid, c.oid, CASE c.relkind WHEN 't' THEN -1 ELSE 0 END, CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END,
        c.relnamespace, c.relname,
        NULL::pg_catalog.text, c.relowner, c.relacl,
        CASE WHEN c.relrowsecurity AND c.relforcerowsecurity THEN 'forced'
             WHEN c.relrowsecurity THEN 'policies'
             -- The sequence belongs to a column, and changes its owner with the table.
             WHEN c.relkind = 'S' AND EXISTS (
                SELECT FROM pg_catalog.pg_depend AS d
                WHERE d.classid = '1259' AND d.objid = c.oid AND d.refclassid = '1259' AND d.deptype IN ('a', 'i')
             ) THEN 'part'
        END
    FROM pg_catalog.pg_class AS c
    -- A TOAST table (`t`) is not listed: its main table is.
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 't') AND c.relacl IS NOT NULL
    OR c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.relowner = ANY ((SELECT oids FROM mine)::pg_catalog.oid[])
    UNION ALL
    SELECT '1259', a.attrelid, a.attnum, 'COLUMN', c.relnamespace, c.relname, a.attname::pg_catalog.text, c.relowner, a.attacl, NULL
    FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid
    WHERE a.attacl IS NOT NULL AND NOT a.attisdropped
    UNION ALL
    -- PostgreSQL's own routines are some thousands. Most are unchanged: executable by PUBLIC, and
    -- granted to no role.
    SELECT '1255', p.oid, 0, CASE p.prokind WHEN 'p' THEN 'PROCEDURE' ELSE 'FUNCTION' END, p.pronamespace, p.proname,
        pg_catalog.oidvectortypes(p.proargtypes), p.proowner,
        COALESCE(p.proacl, pg_catalog.acldefault('f'::pg_catalog."char", p.proowner)), CASE WHEN p.prosecdef THEN 'definer' END
    FROM pg_catalog.pg_proc AS p
    WHERE p.proacl IS NOT NULL OR p.prosecdef OR p.proowner = ANY ((SELECT oids FROM mine)::pg_catalog.oid[]){or_needed_name}
    UNION ALL
    SELECT '2615', oid, 0, 'SCHEMA', oid, nspname, NULL, nspowner, nspacl, NULL FROM pg_catalog.pg_namespace
    UNION ALL
    SELECT '1262', oid, 0, 'DATABASE', NULL, datname, NULL, datdba,
        COALESCE(datacl, pg_catalog.acldefault('d'::pg_catalog."char", datdba)), NULL
    FROM pg_catalog.pg_database
    UNION ALL
    SELECT '1417', oid, 0, 'FOREIGN SERVER', NULL, srvname, NULL, srvowner, srvacl, NULL FROM pg_catalog.pg_foreign_server
    UNION ALL
    SELECT '2328', oid, 0, 'FOREIGN DATA WRAPPER', NULL, fdwname, NULL, fdwowner, fdwacl, NULL FROM pg_catalog.pg_foreign_data_wrapper
    UNION ALL
    SELECT '2612', oid, 0, 'LANGUAGE', NULL, lanname, NULL, lanowner, lanacl, NULL FROM pg_catalog.pg_language
    UNION ALL
    SELECT '1213', oid, 0, 'TABLESPACE', NULL, spcname, NULL, spcowner, spcacl, NULL FROM pg_catalog.pg_tablespace
    UNION ALL
    -- The privileges that will be granted on objects that a role creates in a system schema.
    SELECT '826', d.oid, -1, CASE d.defaclobjtype WHEN 'r' THEN 'FUTURE TABLES' WHEN 'S' THEN 'FUTURE SEQUENCES'
            WHEN 'f' THEN 'FUTURE FUNCTIONS' ELSE 'FUTURE TYPES' END,
        d.defaclnamespace, a.rolname, NULL, d.defaclrole, d.defaclacl, NULL
    FROM pg_catalog.pg_default_acl AS d JOIN pg_catalog.pg_roles AS a ON a.oid = d.defaclrole
    WHERE d.defaclnamespace = ANY ((SELECT oids FROM system)::pg_catalog.oid[])
),
held (mark, privilege, kind, space, name, part, holder) AS (
    -- `initprivs` is the access list of the object when PostgreSQL or an extension had made it. On
    -- the system's objects, any privilege beyond it is an administrator's. Elsewhere, a privilege
    -- of PUBLIC that is in it is usual.
    SELECT CASE WHEN o.space = ANY ((SELECT oids FROM system)::pg_catalog.oid[]) THEN CASE
                    WHEN o.mark = 'definer' THEN 'elevated'
                    WHEN EXISTS (
                        SELECT FROM pg_catalog.aclexplode(i.initprivs) AS was
                        WHERE was.grantee IN ('0', e.grantee) AND was.privilege_type = e.privilege_type AND (was.is_grantable OR NOT e.is_grantable)
                    ) THEN 'usual'
                    -- The privileges of a function without a list, and those that `initdb` grants
                    -- to PUBLIC after it has stored the lists.
                    WHEN i.initprivs IS NULL AND NOT e.is_grantable AND (
                        o.class = '1255'
                        OR o.oid < '16384' AND o.space = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = 'information_schema') AND CASE o.class
                            WHEN '2615' THEN e.privilege_type = 'USAGE'
                            WHEN '1259' THEN e.privilege_type = 'SELECT' AND o.sub = 0 AND pg_catalog.left(o.name::pg_catalog.text, 4) <> '_pg_'
                        END
                    ) THEN 'usual'
                    ELSE 'restricted'
                END
                WHEN e.grantee = '0' AND CASE o.class
                    WHEN '1255' THEN o.mark IS NULL AND i.initprivs IS NULL
                    WHEN '1262' THEN e.privilege_type IN ('CONNECT', 'TEMPORARY')
                    WHEN '2612' THEN true
                    WHEN '2615' THEN o.name = 'public' AND e.privilege_type = 'USAGE'
                END OR o.class IN ('1255', '1259') AND EXISTS (
                   SELECT FROM pg_catalog.aclexplode(i.initprivs) AS was
                   WHERE was.grantee = e.grantee AND was.privilege_type = e.privilege_type
                ) THEN 'usual'
                WHEN o.class = '1255' AND i.initprivs IS NOT NULL
                    AND NOT EXISTS (SELECT FROM pg_catalog.aclexplode(i.initprivs) AS was WHERE was.grantee = '0') THEN 'restricted'
                ELSE o.mark
        END,
        e.privilege_type || CASE WHEN e.is_grantable THEN '*' ELSE '' END, o.kind, o.space, o.name, o.part, e.grantee
    FROM object AS o
    LEFT JOIN pg_catalog.pg_init_privs AS i ON i.objoid = o.oid AND i.classoid = o.class AND i.objsubid = o.sub
    CROSS JOIN LATERAL pg_catalog.aclexplode(o.acl) AS e
    WHERE (o.space = ANY ((SELECT oids FROM system)::pg_catalog.oid[]) AND o.acl::pg_catalog.text = i.initprivs::pg_catalog.text) IS NOT TRUE
    AND e.grantee <> o.owner AND (e.grantee = '0' OR e.grantee = ANY ((SELECT oids FROM mine)::pg_catalog.oid[]))
    UNION ALL
    SELECT CASE WHEN mark = 'part' THEN mark
                WHEN space = ANY ((SELECT oids FROM system)::pg_catalog.oid[]) AND class <> '2615' AND oid >= '16384' THEN 'planted'
                WHEN space = ANY ((SELECT oids FROM system)::pg_catalog.oid[]) OR class IN ('1213', '2612') AND oid < '16384' THEN 'restricted'
                ELSE mark
        END,
        'OWNERSHIP', kind, space, name, part, owner
    FROM object
    WHERE sub = 0 AND owner = ANY ((SELECT oids FROM mine)::pg_catalog.oid[])
    UNION ALL{parameters}
    -- All other objects that a role owns or has privileges on, in any catalog: pg_shdepend lists
    -- them all, except privileges of PUBLIC.
    SELECT CASE WHEN d.deptype = 'o' AND d.objid >= '16384' AND d.classid <> '3466' THEN 'planted' ELSE 'restricted' END,
        CASE d.deptype WHEN 'o' THEN 'OWNERSHIP' ELSE 'ALL' END,
        CASE d.classid WHEN '6243' THEN 'PARAMETER' ELSE i.type END, NULL, i.identity::pg_catalog.name,
        -- `GRANT` does not accept the SQL standard's names of types (1247).
        CASE d.classid WHEN '1247' THEN i.schema || '.'::pg_catalog.text || i.name ELSE i.identity END, d.refobjid
    FROM pg_catalog.pg_shdepend AS d CROSS JOIN LATERAL pg_catalog.pg_identify_object(d.classid, d.objid, d.objsubid) AS i
    WHERE d.refclassid = '1260' AND d.refobjid = ANY ((SELECT oids FROM mine)::pg_catalog.oid[]) AND d.deptype IN ('a', 'o')
    AND (d.dbid = '0' OR d.dbid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()))
    -- The catalogs read above, and large objects, which are in no schema and can be many.
    AND d.classid NOT IN ('1259', '1255', '2615', '1262', '1417', '2328', '2612', '1213', '826', '2613')
    -- An event trigger (3466) runs in every user's session, and only a superuser makes one.
    -- Privileges on settings (6243) come from a superuser too.
    AND (d.classid IN ('3466', '6243') OR i.schema = 'information_schema' OR pg_catalog.left(i.schema, 3) = 'pg_')
)
SELECT fact, mark, privileges, kind, COALESCE(place, n.nspname::pg_catalog.text) AS space, name, detail,
    COALESCE(process, r.rolname::pg_catalog.text) AS holder, s.rolname::pg_catalog.text AS start, w.rolname::pg_catalog.text AS way,
    pg_catalog.pg_has_role(CURRENT_USER, r.oid, 'USAGE'::pg_catalog.text)::pg_catalog.text AS inherits
FROM (
    SELECT 0 AS rank, 'self' AS fact, (SELECT pg_catalog.count(*) FROM member WHERE way IS NULL)::pg_catalog.text AS mark,
        pg_catalog.current_setting('server_version'::pg_catalog.text) AS privileges,
        (SELECT ssl FROM pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()))::pg_catalog.text AS kind,
        NULL::pg_catalog.oid AS space, CURRENT_USER::pg_catalog.text AS name, SESSION_USER::pg_catalog.text AS detail,
        pg_catalog.current_database()::pg_catalog.text AS place,
        pg_catalog.concat(pg_catalog.pg_backend_pid(), ' '::pg_catalog.text, pg_catalog.current_setting('statement_timeout'::pg_catalog.text)) AS process, NULL::pg_catalog.oid AS holder
    UNION ALL
    SELECT 1, 'power', a.kind, a.name, NULL, NULL, NULL, NULL, NULL, NULL, r.oid
    FROM role AS r CROSS JOIN LATERAL (VALUES
        ('attribute', 'SUPERUSER', r.rolsuper), ('attribute', 'CREATEROLE', r.rolcreaterole), ('attribute', 'CREATEDB', r.rolcreatedb),
        ('attribute', 'REPLICATION', r.rolreplication), ('attribute', 'BYPASSRLS', r.rolbypassrls),
        ('member', r.rolname::pg_catalog.text, pg_catalog.left(r.rolname::pg_catalog.text, 3) = 'pg_' OR r.rolname IN ({managed}))
    ) AS a (kind, name, has)
    WHERE a.has
    UNION ALL{found}
    -- An administrator's powers come first: there may be more rows than are read.
    SELECT CASE WHEN mark NOT IN ('usual', 'part', 'definer') OR kind = 'DATABASE' OR kind = 'SCHEMA' AND name = 'public' THEN 1 ELSE {rank} END,
        'held', mark, pg_catalog.string_agg(DISTINCT privilege, ','::pg_catalog.text ORDER BY privilege), kind, space, name::pg_catalog.text, part,
        NULL, NULL, holder
    FROM held
    WHERE (kind = 'SCHEMA' OR (space <> ALL ((SELECT oids FROM hidden)::pg_catalog.oid[])) IS NOT FALSE)
    AND (mark IS DISTINCT FROM 'usual' OR kind = 'SCHEMA'{or_needed})
    GROUP BY mark, kind, space, name, part, holder
) AS answer
LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = answer.space AND answer.kind <> 'SCHEMA'
LEFT JOIN role AS r ON r.oid = answer.holder LEFT JOIN role AS s ON s.oid = r.start LEFT JOIN role AS w ON w.oid = r.way
ORDER BY rank, kind, space, name, detail, mark, holder
LIMIT {most}
