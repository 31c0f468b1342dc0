{{/*
The Teams with their defaults filled in, as a JSON array. Every template takes its Teams from here, so
that nothing is rendered of values that cannot work.
*/}}
{{- define "rolecall.teams" -}}
{{- $values := .Values -}}
{{- if gt (int $values.replicas) 1 -}}
{{- fail "replicas must be 0 or 1: the store is one SQLite file that belongs to one process at a time. For several Teams, add to `teams`; each gets a workload and a store of its own." -}}
{{- end -}}
{{- if not $values.teams -}}
{{- fail "teams is empty: name at least one Team, with its secretName and its settings. values.yaml shows an example." -}}
{{- end -}}
{{- $names := dict -}}
{{- $claims := dict -}}
{{- $daemons := 0 -}}
{{- $teams := list -}}
{{- range $given := $values.teams -}}
{{- $what := printf "the Team %q" $given.name -}}
{{- $fullname := printf "%s-%s" (include "rolecall.base" $) $given.name -}}
{{- if hasKey $names $given.name -}}
{{- fail (printf "%s is in teams twice: two workloads for one Team would each count their own limits and keep half of the audit log." $what) -}}
{{- end -}}
{{- $_ := set $names $given.name true -}}
{{- if gt (len $fullname) 52 -}}
{{- fail (printf "%s makes the name %q, which is longer than the 52 characters that a CronJob's name may have: choose a shorter name or release." $what $fullname) -}}
{{- end -}}

{{- $external := $values.externalSecret.enabled -}}
{{- if and (not $external) (not $given.secretName) -}}
{{- fail (printf "%s has no secretName: name a Secret with the keys opa-key-secret and opsera-token, or enable externalSecret." $what) -}}
{{- end -}}
{{- if $external -}}
{{- if not $values.externalSecret.storeRef.name -}}
{{- fail "externalSecret.storeRef.name is empty: name the SecretStore or ClusterSecretStore that holds the secrets." -}}
{{- end -}}
{{- if not $given.remoteKey -}}
{{- fail (printf "%s has no remoteKey: externalSecret is enabled and must know the entry that holds the properties opa-key-secret and opsera-token." $what) -}}
{{- end -}}
{{- end -}}

{{- if not (trim (default "" $given.settings)) -}}
{{- fail (printf "%s has no settings: put its rolecall.toml there, without the secrets." $what) -}}
{{- end -}}
{{- range $secret := list "key_secret" "token" "webhook_url" "routing_key" "password" -}}
{{- if regexMatch (printf "(?m)^[^#\n]*\\b%s\"?[ \t]*=" $secret) $given.settings -}}
{{- fail (printf "the settings of %s contain %s: settings are a ConfigMap, which is no place for a secret. Put it into the Secret; its keys are files in /run/secrets/rolecall, for settings such as %s_file." $what $secret $secret) -}}
{{- end -}}
{{- end -}}

{{- if not (regexMatch "(?m)^[^#\n]*token_file\"?[ \t]*=[ \t]*[\"']/run/secrets/rolecall/" $given.settings) -}}
{{- fail (printf "the settings of %s name no file of the Secret: it is mounted at /run/secrets/rolecall, so opsera.token_file is \"/run/secrets/rolecall/opsera-token\"." $what) -}}
{{- end -}}

{{- $store := mergeOverwrite (deepCopy $values.store) (default dict $given.store) -}}
{{- if not (has $store.accessMode (list "ReadWriteOnce" "ReadWriteOncePod")) -}}
{{- fail (printf "the store of %s cannot be %s: SQLite needs one writer and real file locks, which volumes for several nodes (NFS and its like) do not give. Use ReadWriteOnce or ReadWriteOncePod." $what $store.accessMode) -}}
{{- end -}}
{{- if $store.existingClaim -}}
{{- if hasKey $claims $store.existingClaim -}}
{{- fail (printf "%s and the Team %q have the same store %q: a store belongs to one Team." $what (get $claims $store.existingClaim) $store.existingClaim) -}}
{{- end -}}
{{- $_ := set $claims $store.existingClaim $given.name -}}
{{- end -}}

{{- $mode := default $values.mode $given.mode -}}
{{- if eq $mode "daemon" -}}{{- $daemons = add1 $daemons -}}{{- end -}}
{{- $job := dict -}}
{{- if ne $mode "daemon" -}}
{{- $job = deepCopy (ternary $values.report $values.cronjob (eq $mode "report")) -}}
{{- if $given.schedule -}}{{- $_ := set $job "schedule" $given.schedule -}}{{- end -}}
{{- else if $given.schedule -}}
{{- fail (printf "%s is a daemon and has a schedule: a daemon runs on [schedule] of its settings." $what) -}}
{{- end -}}
{{- $teams = append $teams (dict
  "name" $given.name
  "fullname" $fullname
  "mode" $mode
  "suspend" (default false $given.suspend)
  "job" $job
  "settings" $given.settings
  "secretName" (default $fullname $given.secretName)
  "remoteKey" (default "" $given.remoteKey)
  "store" $store
  "claim" (default (printf "%s-store" $fullname) $store.existingClaim)
) -}}
{{- end -}}

{{- if and $values.podMonitor.enabled $values.serviceMonitor.enabled -}}
{{- fail "podMonitor and serviceMonitor are both enabled: Prometheus would scrape every daemon twice. Use one." -}}
{{- end -}}
{{- range $object := list "podMonitor" "serviceMonitor" "prometheusRule" -}}
{{- if and (get $values $object).enabled (eq (int $daemons) 0) -}}
{{- fail (printf "%s is enabled, but no Team has mode daemon, and only a daemon serves metrics. Watch the Jobs instead (kube_job_failed, kube_cronjob_status_last_successful_time)." $object) -}}
{{- end -}}
{{- end -}}
{{- toJson $teams -}}
{{- end -}}
