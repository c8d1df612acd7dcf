"""The translation service: models in processes of their own, their queues, and the interfaces over HTTP.

    server.py → app.py                                the HTTP server, and the application
      → page_files.py                                 the page for people, in page/
      → libretranslate.py, native_api.py              requests of clients
          → service.py                                checked, and translated within the limits
              → texts.py                              texts, divided into jobs and joined again
                  → model_pool.py → served_model.py   the model that a request wants, loaded within a budget of memory
                      → batching.py                   jobs of all requests, in batches
                      → model_process.py ⇄ worker.py  a process with one model
              → documents.py ⇄ document_worker.py     a process with one document

The service's own process imports no PyTorch.
"""
