{{/* The pod of one Team: the same in every mode but for what its container is told. Takes root and team. */}}
{{- define "rolecall.pod" -}}
{{- $values := .root.Values -}}
{{- $daemon := eq .team.mode "daemon" -}}
{{- if not $daemon }}
restartPolicy: Never
{{- end }}
serviceAccountName: {{ include "rolecall.serviceAccountName" .root }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with $values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
# After SIGTERM no new request is started; one that is under way may take opsera.timeout.
terminationGracePeriodSeconds: 90
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
containers:
  - name: rolecall
    image: {{ include "rolecall.image" .root }}
    imagePullPolicy: {{ $values.image.pullPolicy }}
    args:
      - --log-format
      - json
      {{- if $daemon }}
      - daemon
      {{- else if eq .team.mode "report" }}
      - sync
      - --dry-run
      - --format
      - markdown
      {{- else }}
      - sync
      - --format
      - json
      {{- end }}
    {{- if $daemon }}
    env:
      - name: ROLECALL__HTTP__LISTEN
        value: 0.0.0.0:9464
    ports:
      - name: metrics
        containerPort: 9464
        protocol: TCP
    # The first start may bring a large store up to date.
    startupProbe:
      httpGet:
        path: /healthz
        port: metrics
      periodSeconds: 5
      failureThreshold: 60
    # The process answers. Nothing else: a directory that is away is no reason to be killed.
    livenessProbe:
      httpGet:
        path: /healthz
        port: metrics
      periodSeconds: 30
      timeoutSeconds: 5
      failureThreshold: 4
    # Settings, store and credentials are fine, and the last complete run is recent.
    readinessProbe:
      httpGet:
        path: /readyz
        port: metrics
      periodSeconds: 30
      timeoutSeconds: 5
      failureThreshold: 2
    {{- end }}
    securityContext:
      allowPrivilegeEscalation: false
      privileged: false
      readOnlyRootFilesystem: true
      capabilities:
        drop:
          - ALL
    {{- with $values.resources }}
    resources:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    volumeMounts:
      - name: config
        mountPath: /etc/rolecall
        readOnly: true
      - name: secrets
        mountPath: /run/secrets/rolecall
        readOnly: true
      - name: store
        mountPath: /var/lib/rolecall
      - name: tmp
        mountPath: /tmp
volumes:
  - name: config
    configMap:
      name: {{ .team.fullname }}
  - name: secrets
    secret:
      secretName: {{ .team.secretName }}
      defaultMode: 0400
  - name: store
    persistentVolumeClaim:
      claimName: {{ .team.claim }}
  # SQLite sorts large listings in temporary files.
  - name: tmp
    emptyDir:
      sizeLimit: 512Mi
{{- end -}}

{{/* Labels and annotations of a pod. Takes root and team. */}}
{{- define "rolecall.podMetadata" -}}
annotations:
  # A change of the settings starts a daemon anew.
  rolecall/settings: {{ sha256sum .team.settings }}
  {{- with .root.Values.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
labels:
  {{- include "rolecall.teamLabels" . | nindent 2 }}
  {{- with .root.Values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}
