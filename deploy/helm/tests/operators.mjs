// Validates objects of the Prometheus and the External Secrets operator, a JSON array on standard input,
// against those operators' own schemas. deploy/helm/test runs it where the packages are installed.
import { text } from "node:stream/consumers";

const groups = {
  "monitoring.coreos.com/v1": "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1",
  "external-secrets.io/v1": "@kubernetes-models/external-secrets/external-secrets.io/v1",
};

for (const document of JSON.parse(await text(process.stdin))) {
  const { apiVersion, kind, metadata } = document;
  if (!(apiVersion in groups)) {
    console.log(`${kind} ${metadata.name}: no schema for ${apiVersion}`);
    process.exitCode = 1;
    continue;
  }
  const models = await import(groups[apiVersion]);
  try {
    new models[kind](document).validate();
  } catch (problem) {
    console.log(`${kind} ${metadata.name}: ${problem.message}`);
    process.exitCode = 1;
  }
}
