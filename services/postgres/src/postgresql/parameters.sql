
    SELECT 'restricted', 'ALL', 'PARAMETER', NULL, p.parname::pg_catalog.name, p.parname, '0'
    FROM pg_catalog.pg_parameter_acl AS p CROSS JOIN LATERAL pg_catalog.aclexplode(p.paracl) AS e WHERE e.grantee = '0'
    UNION ALL