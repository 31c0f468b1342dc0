{{/* What every name begins with. */}}
{{- define "rolecall.base" -}}
{{- if contains "rolecall" .Release.Name }}{{ .Release.Name }}{{ else }}{{ printf "%s-rolecall" .Release.Name }}{{ end -}}
{{- end -}}

{{- define "rolecall.image" -}}
{{- if .Values.image.digest -}}
{{ printf "%s@%s" .Values.image.repository .Values.image.digest }}
{{- else -}}
{{ printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) }}
{{- end -}}
{{- end -}}

{{- define "rolecall.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}{{ default (include "rolecall.base" .) .Values.serviceAccount.name }}{{ else }}{{ default "default" .Values.serviceAccount.name }}{{ end -}}
{{- end -}}

{{/* Labels of an object that belongs to no Team. */}}
{{- define "rolecall.labels" -}}
app.kubernetes.io/name: rolecall
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{/* What selects the pods of one Team. Takes root and team. */}}
{{- define "rolecall.selector" -}}
app.kubernetes.io/name: rolecall
app.kubernetes.io/instance: {{ .root.Release.Name }}
rolecall/team: {{ .team.name }}
{{- end -}}

{{/* Labels of an object of one Team. Takes root and team. */}}
{{- define "rolecall.teamLabels" -}}
{{ include "rolecall.labels" .root }}
rolecall/team: {{ .team.name }}
{{- end -}}
