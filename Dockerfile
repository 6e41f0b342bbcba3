# The program in a container, from the wheel that scripts/build_wheel left in dist/:
#   docker build -t saferclip .                                   CPU
#   docker build -t saferclip --build-arg TORCH=cuda .            CUDA: PyPI's own build of torch, several GB
#   docker run --rm -v "$PWD:/work" saferclip train my.yaml       (CUDA: with --gpus all)
FROM debian:12-slim
ARG TORCH=cpu
RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-venv ca-certificates \
    && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/saferclip
COPY dist/saferclip-*.whl /tmp/
RUN if [ "$TORCH" = cpu ]; then index=https://download.pytorch.org/whl/cpu; else index=https://pypi.org/simple; fi; \
    /opt/saferclip/bin/pip install --no-cache-dir --index-url "$index" "torch==2.13.*"
RUN /opt/saferclip/bin/pip install --no-cache-dir /tmp/saferclip-*.whl && rm /tmp/saferclip-*.whl
ENV PATH=/opt/saferclip/bin:$PATH
RUN useradd --create-home user
USER user
WORKDIR /work
RUN saferclip version
ENTRYPOINT ["saferclip"]
CMD ["--help"]
