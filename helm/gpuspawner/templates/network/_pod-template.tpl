{{/* What a zone adds to every server's pod: YAML of a PodTemplateSpec, empty in zone open. */}}
{{- define "gpuspawner.podTemplate.zone" -}}
{{- if eq .Values.zone "restricted" }}
{{- $env := list }}
{{- $mounts := list }}
{{- $volumes := list }}
{{- $zone := .Values.restrictedZone }}
{{- if or $zone.httpProxy.url $zone.httpProxy.existingSecret }}
{{- $url := dict "value" ($zone.httpProxy.url | replace "$" "$$") }}
{{- with $zone.httpProxy.existingSecret }}
{{- $url = dict "valueFrom" (dict "secretKeyRef" (dict "name" . "key" $zone.httpProxy.key)) }}
{{- end }}
{{- $without := include "gpuspawner.zone.noProxy" . }}
{{- $env = append $env (dict "name" "NODE_USE_ENV_PROXY" "value" "1") }}
{{- range list "HTTP_PROXY" "HTTPS_PROXY" "http_proxy" "https_proxy" }}
{{- $env = append $env (merge (dict "name" .) $url) }}
{{- end }}
{{- range list "NO_PROXY" "no_proxy" }}
{{- $env = append $env (dict "name" . "value" $without) }}
{{- end }}
{{- end }}
{{- with $zone.caBundle.configMap }}
{{- range list "REQUESTS_CA_BUNDLE" "SSL_CERT_FILE" "PIP_CERT" "CURL_CA_BUNDLE" "NODE_EXTRA_CA_CERTS" "GIT_SSL_CAINFO" "GIT_PROXY_SSL_CAINFO" "AWS_CA_BUNDLE" }}
{{- $env = append $env (dict "name" . "value" "/etc/gpuspawner/ca/ca-bundle.crt") }}
{{- end }}
{{- $items := list (dict "key" $zone.caBundle.key "path" "ca-bundle.crt") }}
{{- $volumes = append $volumes (dict "name" "gpuspawner-ca" "configMap" (dict "name" . "items" $items)) }}
{{- $mounts = append $mounts (dict "name" "gpuspawner-ca" "mountPath" "/etc/gpuspawner/ca" "readOnly" true) }}
{{- range $zone.caBundle.mountPaths }}
{{- $mounts = append $mounts (dict "name" "gpuspawner-ca" "mountPath" . "subPath" "ca-bundle.crt" "readOnly" true) }}
{{- end }}
{{- end }}
{{- if not $zone.downloads }}
{{- $env = append $env (dict "name" "JUPYTER_CONFIG_PATH" "value" "/etc/gpuspawner/jupyter") }}
{{- $env = append $env (dict "name" "JUPYTERHUB_DISABLE_USER_CONFIG" "value" "1") }}
{{- $items := list }}
{{- range list "jupyter_server_config.py" "gpuspawner_no_downloads.py" }}
{{- $items = append $items (dict "key" . "path" .) }}
{{- end }}
{{- $items = append $items (dict "key" "page_config.json" "path" "labconfig/page_config.json") }}
{{- $source := dict "name" (printf "%s-notebook" (include "gpuspawner.fullname" .)) "items" $items }}
{{- $volumes = append $volumes (dict "name" "gpuspawner-jupyter" "configMap" $source) }}
{{- $mounts = append $mounts (dict "name" "gpuspawner-jupyter" "mountPath" "/etc/gpuspawner/jupyter" "readOnly" true) }}
{{- end }}
{{- if or $env $volumes }}
{{- $container := dict "name" "notebook" "env" $env }}
{{- with $mounts }}
{{- $_ := set $container "volumeMounts" . }}
{{- end }}
{{- $spec := dict "containers" (list $container) }}
{{- with $volumes }}
{{- $_ := set $spec "volumes" . }}
{{- end }}
{{- dict "spec" $spec | toYaml }}
{{- end }}
{{- end }}
{{- end }}

{{/* What servers reach without the HTTP proxy. Suffixes begin with a dot, which every client of ours understands. */}}
{{- define "gpuspawner.zone.noProxy" -}}
{{- $hub := printf "%s-hub" (include "gpuspawner.fullname" .) }}
{{- $own := list "localhost" "127.0.0.1" "::1" ".svc" ".svc.cluster.local" $hub (printf "%s.%s" $hub .Release.Namespace) }}
{{- concat $own .Values.restrictedZone.httpProxy.noProxy | uniq | join "," }}
{{- end }}
