/** The architecture as rules: who may import whom, and which one place knows each outside thing. */

const inTests = '(^test/|/test/|^bench/|^verify/)'

/** Only files that match `place` (and tests) import the package at run time; types may travel. */
function onlyIn(place, packages, comment) {
  return {
    name: `only-one-place-knows-${packages.split('|')[0].replaceAll(/[^a-z]+/g, '-')}`,
    comment,
    severity: 'error',
    from: { pathNot: [place, inTests] },
    to: { path: `node_modules/(${packages})(/|$)`, dependencyTypesNot: ['type-only'] }
  }
}

module.exports = {
  forbidden: [
    {
      name: 'no-cycles',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } }
    },
    {
      name: 'apps-do-not-import-each-other',
      severity: 'error',
      from: { path: '^apps/([^/]+)/' },
      to: { path: '^apps/', pathNot: '^apps/$1/' }
    },
    { name: 'shared-knows-no-app', severity: 'error', from: { path: '^packages/' }, to: { path: '^apps/' } },
    {
      name: 'the-program-does-not-import-tests',
      severity: 'error',
      from: { path: '^(apps|packages)/[^/]+/src/' },
      to: { path: '(/test/|^test/)' }
    },
    {
      name: 'every-import-is-there',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true }
    },
    {
      name: 'every-package-is-listed',
      comment: 'A package that only another package brings along is gone with its next version.',
      severity: 'error',
      from: {},
      to: { dependencyTypes: ['npm-no-pkg', 'npm-unknown'] }
    },
    onlyIn('^apps/master/src/queues/', 'bullmq', 'Queues: apps/master/src/queues/'),
    onlyIn('^packages/shared/src/redis\\.ts$', 'ioredis', 'Connections to Redis: packages/shared/src/redis.ts'),
    onlyIn('^packages/shared/src/blobs/azure\\.ts$', '@azure', 'Azure: packages/shared/src/blobs/azure.ts'),
    onlyIn('^apps/master/src/database/', 'pg|node-pg-migrate', 'Connections to PostgreSQL: apps/master/src/database/'),
    onlyIn('^apps/master/src/jobs/json-schema\\.ts$', 'ajv|ajv-formats', 'Inputs against JSON Schemas'),
    onlyIn('^apps/master/src/webhooks/sign\\.ts$', 'standardwebhooks', 'Signatures of webhooks'),
    onlyIn('^apps/master/src/jobs/cron\\.ts$', 'cron-parser', 'Cron expressions'),
    onlyIn('^apps/master/src/transcription/voice-activity', 'onnxruntime-node', 'The voice-activity model')
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    // A user's tasks import what the worker gives them: examples/ is as such a folder.
    exclude: { path: '(\\.d\\.ts$|^\\.cache/|^\\.venv/|^data/|^\\.turbo/|^examples/)' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    combinedDependencies: false,
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
      extensions: ['.ts', '.mjs', '.js', '.cjs', '.json', '.d.ts']
    }
  }
}
